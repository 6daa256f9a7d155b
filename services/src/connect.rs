//! Kind `connect`: calls, chats, agents and the search of contacts.
//!
//! Voice keeps nothing but a row of each contact, so it is back with DynamoDB. Chats are sessions that live on a host and
//! have a lease of their own; sessions that were lost in the outage hold their places until somebody has cleared them
//! up, and that is slow ([`chats`]): the longer recovery of chats. Calls and sign-ins go through a load balancer where the
//! topology has one, so they fall with it too.

use std::sync::{Arc, Mutex, PoisonError};

use eastfall_fabric::call::Context;
use eastfall_fabric::rng::Rng;
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::connect::connect_server::Connect;
use eastfall_proto::connect::*;
use eastfall_proto::error::api_error;
use eastfall_topology::{Distribution, Span};
use rand::RngExt as _;
use tonic::{Code, Request, Response, Status};

use crate::dynamodb::value::{item, number, string, text};
use crate::settings::split;
use crate::tables::Tables;

mod chats;
mod flow;
#[cfg(test)]
mod tests;

use chats::Chats;
use flow::Flow;

eastfall_topology::params! {
    /// Contact centres.
    pub struct ConnectParams for "connect" offers
        ["StartOutboundVoiceContact", "ReceiveCall", "StartChatContact", "SignIn", "SearchContacts"] {
        /// Chats that all hosts together can hold (assumption: a third more than the busiest hour needs).
        chat_places: u32 = 240, range 1..=10000000, scaled by load;
        /// How long a chat lasts (assumption).
        chat_length: Distribution = { distribution = "exponential", mean = "10m" };
        /// How long a chat's lease lasts without being renewed (assumption). Its participants are disconnected then.
        chat_lease: Span = "2m", range "10s"..="1h";
        /// How often leases are renewed (assumption: several times in a lease).
        chat_renewal: Span = "30s", range "1s"..="1h";
        /// Lost chats that all hosts together clear up in an hour. Inferred from the published 05:00: two and a half hours
        /// after DynamoDB was back, enough places had come free for the night's chats (docs/model/connect.md).
        chats_cleared_per_hour: f64 = 30.0, range 0.001..=1e9, scaled by load;
        /// The load balancer that calls and sign-ins go through, if the service calls any.
        load_balancer: String = "connect";
        /// The function that contact flows invoke, if the service calls Lambda.
        flow_function: String = "function-1";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: ConnectParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

/// The domain of Connect's error names.
const DOMAIN: &str = "connect.amazonaws.com";
/// Contacts by contact centre, in the order in which they came.
const CONTACTS: &str = "connect-contacts";
/// Agents who are signed in, by contact centre.
const AGENTS: &str = "connect-agents";
/// Contacts that a search answers at most (published: 100), and if nothing is said (published).
const MOST_RESULTS: u32 = 100;
const RESULTS: u32 = 25;

async fn start(world: World) -> Result<(), StartError> {
    let tables = Tables::of(&world)?;
    let chats = Arc::new(Chats::new(&world, tables.clone()));
    let desk = Desk {
        flow: Flow::of(&world)?,
        luck: Mutex::new(world.rng("contact-ids")),
        tables: tables.clone(),
        chats: Arc::clone(&chats),
        world: world.clone(),
    };
    let preparing = world.clone();
    world.spawn(async move {
        let schemas = ["connect-contacts(centre,contact)", "connect-agents(centre,agent)"];
        tables.prepare(&preparing, &schemas).await;
    });
    chats.run();
    world.serve(vec![(&connect_api::API, connect_api::handler(Arc::new(desk)))]).await
}

struct Desk {
    world: World,
    tables: Tables,
    flow: Flow,
    chats: Arc<Chats>,
    luck: Mutex<Rng>,
}

fn unavailable(status: &Status) -> Status {
    api_error(Code::Unavailable, DOMAIN, "InternalServiceException", status.message())
}

fn invalid(message: &str) -> Status {
    api_error(Code::InvalidArgument, DOMAIN, "InvalidParameterException", message)
}

impl Desk {
    /// A call, from either side: on the line, through its flow, written down.
    async fn voice(
        &self,
        context: &Context,
        request: &StartVoiceRequest,
    ) -> Result<Response<ContactResponse>, Status> {
        if request.instance_id.is_empty() {
            return Err(invalid("a call needs a contact centre"));
        }
        self.flow.line(context).await.map_err(|status| unavailable(&status))?;
        self.flow.run(context).await.map_err(|status| unavailable(&status))?;
        let contact_id = self.contact_id();
        self.note(context, &request.instance_id, &contact_id, "voice").await?;
        Ok(Response::new(ContactResponse { contact_id }))
    }

    async fn note(
        &self,
        context: &Context,
        centre: &str,
        contact: &str,
        channel: &str,
    ) -> Result<(), Status> {
        let row =
            item([("centre", string(centre)), ("contact", string(contact)), ("channel", string(channel))]);
        let written = self.tables.within(context).put(CONTACTS, row).await;
        written.map_err(|status| unavailable(&status))
    }

    /// Begins with the time, so that contacts are in order.
    fn contact_id(&self) -> String {
        let mut luck = self.luck.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{:016x}-{:08x}", self.world.now().as_nanos(), luck.random::<u32>())
    }
}

#[async_trait::async_trait]
impl Connect for Desk {
    async fn start_outbound_voice_contact(
        &self,
        request: Request<StartVoiceRequest>,
    ) -> Result<Response<ContactResponse>, Status> {
        let (context, request) = split(request);
        self.voice(&context, &request).await
    }

    async fn receive_call(
        &self,
        request: Request<StartVoiceRequest>,
    ) -> Result<Response<ContactResponse>, Status> {
        let (context, request) = split(request);
        self.voice(&context, &request).await
    }

    async fn start_chat_contact(
        &self,
        request: Request<StartChatContactRequest>,
    ) -> Result<Response<ContactResponse>, Status> {
        let (context, request) = split(request);
        let StartChatContactRequest { instance_id, client_token } = request;
        if instance_id.is_empty() || client_token.is_empty() {
            return Err(invalid("a chat needs a contact centre and a client token"));
        }
        self.chats.start(&context, &client_token).await?;
        // The flow of a chat begins with the chat; if it fails, the chat is over when its lease is.
        self.flow.run(&context).await.map_err(|status| unavailable(&status))?;
        let contact_id = self.contact_id();
        self.note(&context, &instance_id, &contact_id, "chat").await?;
        Ok(Response::new(ContactResponse { contact_id }))
    }

    async fn sign_in(&self, request: Request<SignInRequest>) -> Result<Response<SignInResponse>, Status> {
        let (context, request) = split(request);
        self.flow.line(&context).await.map_err(|status| unavailable(&status))?;
        let row = item([
            ("centre", string(&request.instance_id)),
            ("agent", string(&request.agent)),
            ("since", number(self.world.now().as_nanos())),
        ]);
        let written = self.tables.within(&context).put(AGENTS, row).await;
        written.map_err(|status| unavailable(&status))?;
        Ok(Response::new(SignInResponse {}))
    }

    async fn search_contacts(
        &self,
        request: Request<SearchContactsRequest>,
    ) -> Result<Response<SearchContactsResponse>, Status> {
        let (context, request) = split(request);
        let limit = if request.max_results == 0 { RESULTS } else { request.max_results.min(MOST_RESULTS) };
        let found = self.tables.within(&context).some_of(CONTACTS, &request.instance_id, limit, true).await;
        let found = found.map_err(|status| unavailable(&status))?;
        let contact_ids = found.iter().filter_map(|row| text(row, "contact")).map(str::to_owned).collect();
        Ok(Response::new(SearchContactsResponse { contact_ids }))
    }
}
