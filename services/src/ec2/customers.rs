//! Kind `ec2-customers`: groups of instances that grow and shrink with the day.
//!
//! Launches come as an open load; every instance is looked at from time to time and terminated at the end of its life.
//! A launch that fails leaves its group too small, so the group tries again, later, as long as the instance is wanted: in an
//! outage wishes pile up to the size of the groups, and come all at once when launches work again.

use std::sync::{Arc, Mutex, PoisonError};

use eastfall_fabric::distribution::draw;
use eastfall_fabric::network::client::{Client, Host};
use eastfall_fabric::rng::{Rng, stream};
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::ec2::*;
use eastfall_topology::{Curve, Distribution, Moment, Span};
use rand::RngExt as _;
use tonic::{Code, Status};

use super::api::ApiParams;
use crate::customers::arrivals::{Candidate, next_candidate};
use crate::nlb::client::NlbClient;
use crate::nlb::health::HealthParams;
use crate::settings::{Settings, callee_of_kind, callee_of_kind_if_any, instance_count};

eastfall_topology::params! {
    /// Customers who launch, look at and terminate instances.
    pub struct Ec2CustomersParams for "ec2-customers" {
        /// Launches a second where the curve is 1, of all instances of the population together (assumption).
        rate: f64 = 0.5, range 0.0..=1000000.0, scaled by load;
        /// Factor on the rate by time of day, linear between the points and across midnight.
        curve: Curve = [["00:00", 1.0]];
        /// How long an instance is wanted, from the wish on (assumption: groups that scale with the day keep one for an hour
        /// or so). A wish that could not be met in that time is given up.
        lifetime: Distribution = { distribution = "exponential", mean = "1h" };
        /// An instance whose time is over is kept until another has come after it (textbook: who renews a fleet launches
        /// first and terminates after). Such groups grow with the day and don't shrink. Off: they shrink in an outage as
        /// they would have anyway.
        replace_first: bool = false;
        /// How often an instance is described while it lives (assumption).
        describe_every: Span = "10m", range "1s"..="365d";
        /// How often an instance gets other interfaces or security groups while it runs, on average; `none`: never
        /// (assumption; in an outage these wishes are accepted and wait for the droplet's lease).
        change_every: Option<Span> = "none", range "1s"..="365d";
        /// Instances that are launched at the start, spread over five minutes: groups that were there before the run.
        at_start: u32 = 0, range 0..=10000000, scaled by load;
        /// Load balancers of NLB behind which instances are brought, each behind one of them, as soon as they are launched
        /// and before the network knows them (inferred: automatic scaling does not wait). They are taken out before they
        /// are terminated.
        load_balancers: Vec<String> = [];
        /// Share of the instances that is brought behind a load balancer (assumption).
        balanced: f64 = 1.0, range 0.0..=1.0;
        /// How long after a failed launch or termination the group tries again (assumption: as automatic scaling does).
        try_again: Span = "5m", range "1s"..="1d";
        /// Groups, each on a machine with a resolver cache and connections of its own. Read at start only.
        hosts: u32 = 50, range 1..=1000000, scaled by load;
        /// How long after the run's start the first launch comes (ours: names and tables have to exist by then).
        start_delay: Span = "2m", range "0s"..="1d";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: Ec2CustomersParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let api = callee_of_kind(&world, ApiParams::SCHEMA.name)?;
    let instances = instance_count(&world, &world.instance().service).max(1) as u32;
    let hosts = world.params::<Ec2CustomersParams>().hosts.div_ceil(instances);
    let own = world.instance().name.clone();
    let groups = Groups {
        hosts: (0..hosts).map(|number| world.host(&format!("{own}/host-{}", number + 1))).collect(),
        settings: Settings::new(&world),
        share: 1.0 / f64::from(instances),
        tally: Mutex::default(),
        balancers: callee_of_kind_if_any(&world, HealthParams::SCHEMA.name)?,
        api,
        world: world.clone(),
    };
    let groups = Arc::new(groups);
    world.spawn(Arc::clone(&groups).fill());
    world.spawn(groups.run());
    Ok(())
}

/// Over how long the launches of the start are spread (ours).
const FILL: Span = Span::from_secs(300);

struct Groups {
    world: World,
    settings: Settings<Ec2CustomersParams>,
    api: String,
    /// NLB's control API, if it is called.
    balancers: Option<String>,
    hosts: Vec<Host>,
    /// This instance's share of the rate.
    share: f64,
    tally: Mutex<Tally>,
}

/// How many of what.
#[derive(Default)]
struct Tally {
    /// Wishes so far: the number of the next one.
    wishes: u64,
    /// Instances that are wished for and not there.
    missing: u64,
    /// Instances that are there.
    there: u64,
    /// Of these, such whose time is over and that wait for another to come.
    overdue: u64,
    /// How many of them may go, for others have come.
    replacements: u64,
}

impl Groups {
    async fn run(self: Arc<Self>) {
        let world = self.world.clone();
        let clock = world.clock();
        clock.sleep_until(Moment::START + self.settings.get().start_delay).await;
        let (mut arrivals, mut choices) = (world.rng("arrivals"), world.rng("requests"));
        let mut now = clock.now();
        loop {
            let settings = self.settings.get();
            let rate = settings.rate * self.share;
            let peak = rate * settings.curve.peak();
            let factor = |moment: Moment| settings.curve.at(world.time_of_day(moment));
            let candidate = next_candidate(&mut arrivals, now, peak, factor, rate);
            now = candidate.moment();
            clock.sleep_until(now).await;
            if let Candidate::Arrival(intended) = candidate {
                let host = choices.random_range(0..self.hosts.len());
                self.begin(host, intended);
            }
        }
    }

    /// Launches what was there before the run.
    async fn fill(self: Arc<Self>) {
        let settings = self.settings.get();
        let count = (f64::from(settings.at_start) * self.share).round() as u32;
        let mut choices = self.world.rng("at-start");
        for number in 0..count {
            let share = f64::from(number) / f64::from(count);
            let intended = Moment::START + settings.start_delay + FILL.mul_f64(share);
            self.world.clock().sleep_until(intended).await;
            self.begin(choices.random_range(0..self.hosts.len()), intended);
        }
    }

    /// One wish for an instance, from the first try to the instance's end.
    fn begin(self: &Arc<Self>, host: usize, intended: Moment) {
        let number = self.change(|tally| {
            tally.wishes += 1;
            tally.missing += 1;
            tally.wishes
        });
        let dialled = self.hosts[host].dial(&self.api).and_then(|client| {
            let balancers =
                self.balancers.as_ref().map(|health| self.hosts[host].dial(health)).transpose()?;
            Ok((client, balancers.map(NlbClient::new)))
        });
        let (client, balancers) = match dialled {
            Ok(clients) => clients,
            Err(error) => {
                let reason = error.to_string();
                return self.world.record().event("customers.not-sent", &[("reason", reason)]);
            }
        };
        let groups = Arc::clone(self);
        self.world.spawn(async move {
            // A stream of its own: how long one launch takes has no say in another's luck.
            let world = &groups.world;
            let name = format!("{}/life-{number}", world.instance().name);
            let mut luck = stream(world.region().seed, &name);
            let until = intended + draw(&groups.settings.get().lifetime, &mut luck);
            let launched = groups.launch(&client, intended, until, &name).await;
            groups.change(|tally| {
                tally.missing -= 1;
                if launched.is_some() {
                    tally.there += 1;
                    tally.replacements += u64::from(tally.overdue > tally.replacements);
                }
            });
            let Some(id) = launched else { return };
            let behind = balancers.and_then(|balancers| Some((balancers, groups.balancer(&mut luck)?)));
            if let Some((balancers, name)) = &behind {
                groups.until_done(|| balancers.register(name, vec![id.clone()])).await;
            }
            groups.live(&client, &id, until, &mut luck).await;
            groups.until_replaced().await;
            if let Some((balancers, name)) = &behind {
                groups.until_done(|| balancers.deregister(name, vec![id.clone()])).await;
            }
            groups.terminate(&client, &id).await;
            groups.change(|tally| tally.there -= 1);
        });
    }

    /// Tries until the instance is there, or no longer wanted: a group's wish is for a number of instances at a time, so
    /// what could not be launched in the outage is not all asked for after it.
    async fn launch(&self, client: &Client, intended: Moment, until: Moment, name: &str) -> Option<String> {
        let (mut intended, mut tries) = (intended, 0);
        while intended <= until {
            tries += 1;
            let request = RunInstancesRequest {
                count: 1,
                owner: self.world.instance().service.clone(),
                // SDKs make one for each request, so that their retries launch nothing twice.
                client_token: format!("{name}/{tries}"),
                ..RunInstancesRequest::default()
            };
            if let Ok(answer) = client.call_intended(intended, &ec2_api::RUN_INSTANCES, request).await
                && let Some(instance) = answer.instances.into_iter().next()
            {
                return Some(instance.instance_id);
            }
            self.world.sleep(self.settings.get().try_again).await;
            intended = self.world.now();
        }
        self.world.record().count("launches-given-up", 1);
        None
    }

    /// Looks at an instance and changes it until the end of its life.
    async fn live(&self, client: &Client, id: &str, end: Moment, luck: &mut Rng) {
        let clock = self.world.clock();
        let settings = self.settings.get();
        let mut look = self.world.now() + settings.describe_every.mul_f64(luck.random());
        let mut change = self.next_change(luck);
        while look.min(change) < end {
            let next = look.min(change);
            clock.sleep_until(next).await;
            // How either ended is on the edge's record.
            if next == look {
                let request = DescribeInstancesRequest { instance_ids: vec![id.to_owned()] };
                let _ = client.call_intended(next, &ec2_api::DESCRIBE_INSTANCES, request).await;
                look += self.settings.get().describe_every;
            } else {
                let request = ModifyInstanceNetworkRequest { instance_id: id.to_owned() };
                let answer = client.call_intended(next, &ec2_api::MODIFY_INSTANCE_NETWORK, request).await;
                change = match answer {
                    Ok(_) => self.next_change(luck),
                    Err(_) => self.world.now() + self.settings.get().try_again,
                };
            }
        }
        clock.sleep_until(end).await;
    }

    /// Waits until another instance has come for one whose time is over, if groups renew in that order.
    async fn until_replaced(&self) {
        if !self.settings.get().replace_first {
            return;
        }
        self.change(|tally| tally.overdue += 1);
        while self.settings.get().replace_first && self.change(|tally| tally.replacements == 0) {
            self.world.sleep(self.settings.get().try_again).await;
        }
        self.change(|tally| {
            tally.overdue -= 1;
            tally.replacements = tally.replacements.saturating_sub(1);
        });
    }

    /// When the next wish for a change comes: changes of one instance are independent of each other.
    fn next_change(&self, luck: &mut Rng) -> Moment {
        let gap =
            self.settings.get().change_every.map(|mean| draw(&Distribution::Exponential { mean }, luck));
        gap.map_or(Moment::MAX, |gap| self.world.now() + gap)
    }

    /// The load balancer behind which an instance is brought, if it is.
    fn balancer(&self, luck: &mut Rng) -> Option<String> {
        let settings = self.settings.get();
        let names = &settings.load_balancers;
        if names.is_empty() || luck.random::<f64>() >= settings.balanced {
            return None;
        }
        names.get(luck.random_range(0..names.len())).cloned()
    }

    /// Does something until it is done, unless it can never be.
    async fn until_done<F: Future<Output = Result<(), Status>>>(&self, mut act: impl FnMut() -> F) {
        while let Err(status) = act().await {
            if matches!(status.code(), Code::InvalidArgument | Code::NotFound) {
                return;
            }
            self.world.sleep(self.settings.get().try_again).await;
        }
    }

    async fn terminate(&self, client: &Client, id: &str) {
        self.until_done(|| {
            let request = TerminateInstancesRequest { instance_ids: vec![id.to_owned()] };
            async move { client.call(&ec2_api::TERMINATE_INSTANCES, request).await.map(drop) }
        })
        .await;
    }

    fn change<T>(&self, change: impl FnOnce(&mut Tally) -> T) -> T {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut tally);
        self.world.record().gauge("instances-missing", tally.missing as f64);
        self.world.record().gauge("instances", tally.there as f64);
        result
    }
}
