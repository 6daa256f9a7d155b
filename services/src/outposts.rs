//! Kind `outposts`: the life cycle of racks on customers' premises, as far as it needs the region.
//!
//! An order is written down and answered; a workflow brings the rack into service. For that it launches an anchor, an
//! instance in the region that the rack is set up through, waits until it can be reached, and terminates it at the end. So
//! orders can't be taken without DynamoDB, and wait without launches. What racks do meanwhile is not touched by it.

use std::sync::Arc;

use eastfall_fabric::call::Context;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::error::api_error;
use eastfall_proto::outposts::outposts_server::Outposts;
use eastfall_proto::outposts::*;
use eastfall_topology::Span;
use tonic::{Code, Request, Response, Status};

use crate::dynamodb::update::set;
use crate::dynamodb::value::{Item, item, number, parsed, string, text};
use crate::ec2::client::Ec2Client;
use crate::groups::host_of;
use crate::settings::{Settings, instance_count, split};
use crate::tables::Tables;

#[cfg(test)]
mod tests;

eastfall_topology::params! {
    /// The life cycle of Outposts.
    pub struct OutpostsParams for "outposts" offers ["CreateOrder", "GetOrder"] {
        /// How often an instance goes on with its orders (assumption).
        every: Span = "30s", range "1s"..="1h";
        /// Orders that it goes on with at most in a round (assumption).
        orders_at_once: u32 = 4, range 1..=10000, scaled by load;
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: OutpostsParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// The domain of Outposts' error names.
const DOMAIN: &str = "outposts.amazonaws.com";
/// Orders by name.
const ORDERS: &str = "outposts-orders";
/// Orders that are under way, by the instance that goes on with them.
const UNDER_WAY: &str = "outposts-under-way";

async fn start(world: World) -> Result<(), StartError> {
    let desk = Arc::new(Desk {
        settings: Settings::new(&world),
        tables: Tables::of(&world)?,
        ec2: Ec2Client::of(&world)?,
        world: world.clone(),
    });
    world.record().count("orders-completed", 0);
    world.spawn(Arc::clone(&desk).go_on());
    world.serve(vec![(&outposts_api::API, outposts_api::handler(desk))]).await
}

struct Desk {
    world: World,
    settings: Settings<OutpostsParams>,
    tables: Tables,
    ec2: Ec2Client,
}

fn internal(status: &Status) -> Status {
    api_error(Code::Internal, DOMAIN, "InternalServerException", status.message())
}

fn key(order: &str) -> Item {
    item([("order", string(order))])
}

fn read(row: &Item) -> Option<GetOrderResponse> {
    let order_id = text(row, "order")?.to_owned();
    Some(GetOrderResponse { order_id, status: parsed(row, "status").unwrap_or(0) })
}

impl Desk {
    fn under_way(&self, order: &str) -> Item {
        let hosts = instance_count(&self.world, &self.world.instance().service);
        item([("host", string(host_of(order, hosts).to_string())), ("order", string(order))])
    }

    async fn create(&self, context: &Context, order: &str) -> Result<GetOrderResponse, Status> {
        if order.is_empty() {
            return Err(api_error(
                Code::InvalidArgument,
                DOMAIN,
                "ValidationException",
                "an order needs a name",
            ));
        }
        let tables = self.tables.within(context);
        if let Some(before) = self.find(context, order).await? {
            return Ok(before);
        }
        // First what the workflow finds it by: an order that is known and goes nowhere would be worse than one unknown.
        tables.put(UNDER_WAY, self.under_way(order)).await.map_err(|status| internal(&status))?;
        let status = OrderStatus::Received as i32;
        let received = vec![set("status", number(status))];
        tables.update(ORDERS, key(order), received).await.map_err(|status| internal(&status))?;
        Ok(GetOrderResponse { order_id: order.to_owned(), status })
    }

    async fn find(&self, context: &Context, order: &str) -> Result<Option<GetOrderResponse>, Status> {
        let row = self.tables.within(context).get(ORDERS, key(order)).await;
        Ok(read(&row.map_err(|status| internal(&status))?))
    }

    // === The workflow ===

    async fn go_on(self: Arc<Self>) {
        self.tables.prepare(&self.world, &["outposts-orders(order)", "outposts-under-way(host,order)"]).await;
        let own = self.world.instance().index.to_string();
        loop {
            let settings = self.settings.get();
            if let Ok(waiting) = self.tables.all_of(UNDER_WAY, &own).await {
                let mut left = waiting.len();
                for row in waiting.iter().take(settings.orders_at_once as usize) {
                    match self.next_step(row).await {
                        Ok(true) => left -= 1,
                        Ok(false) => {}
                        // What one order could not get, another would not either: until the next round.
                        Err(_) => break,
                    }
                }
                self.world.record().gauge("orders-waiting", left as f64);
            }
            self.world.sleep(settings.every).await;
        }
    }

    /// One step of an order; true if it was the last. Every step may be repeated.
    async fn next_step(&self, row: &Item) -> Result<bool, Status> {
        let Some(order) = text(row, "order") else { return Ok(false) };
        let Some(anchor) = text(row, "anchor") else {
            // The order's own name is the token: a step that is repeated launches nothing twice.
            let launched = self.ec2.launch(None, order).await?;
            let mut row = row.clone();
            row.insert("anchor".to_owned(), string(&launched.instance_id));
            self.tables.put(UNDER_WAY, row).await?;
            self.set_status(order, OrderStatus::Installing).await?;
            return Ok(false);
        };
        let found = self.ec2.describe(vec![anchor.to_owned()]).await?;
        if !found.iter().any(|instance| instance.reachable) {
            return Ok(false);
        }
        self.set_status(order, OrderStatus::Completed).await?;
        self.ec2.terminate(anchor).await?;
        self.tables.delete(UNDER_WAY, self.under_way(order)).await?;
        self.world.record().count("orders-completed", 1);
        Ok(true)
    }

    async fn set_status(&self, order: &str, status: OrderStatus) -> Result<(), Status> {
        self.tables.update(ORDERS, key(order), vec![set("status", number(status as i32))]).await
    }
}

#[async_trait::async_trait]
impl Outposts for Desk {
    async fn create_order(
        &self,
        request: Request<CreateOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        let (context, request) = split(request);
        self.create(&context, &request.order_id).await.map(Response::new)
    }

    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        let (context, request) = split(request);
        match self.find(&context, &request.order_id).await? {
            Some(order) => Ok(Response::new(order)),
            None => {
                let message = format!("there is no order {}", request.order_id);
                Err(api_error(Code::NotFound, DOMAIN, "NotFoundException", message))
            }
        }
    }
}
