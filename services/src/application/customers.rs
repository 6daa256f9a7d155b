//! Kind `application-customers`: users of an application, and the DNS that says which place each of them asks.
//!
//! Steering by DNS is health checks and a time to live: a place that fails its checks is no longer answered, and users
//! notice when what they were answered before runs out. That is modelled here, at the users' side, since all that matters of
//! it are these two delays. Cells are the other idea: a user has one place, or two, for good, so that what breaks one
//! place is nobody's matter but its own users'.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::network::client::{Client, Host};
use eastfall_fabric::world::{Kind, StartError, World};
use eastfall_proto::service::{PerformRequest, service_api};
use eastfall_topology::{Curve, Moment, Span, words};
use rand::RngExt as _;

use super::ApplicationParams;
use crate::customers::arrivals::{Candidate, next_candidate};
use crate::settings::{Settings, callee_of_kind, instance_count};

words! {
    /// Which place a user asks.
    pub enum Split {
        /// The first that is sound.
        First = "first",
        /// Any that is sound, the users spread evenly.
        Even = "even",
        /// The one that the user has for good.
        Cell = "cell",
        /// One of two that the user has for good: the second, if the first fails.
        ShuffledCells = "shuffled-cells",
    }
}

eastfall_topology::params! {
    /// Users of an application.
    pub struct ApplicationCustomersParams for "application-customers" {
        /// Requests a second where the curve is 1 (assumption).
        rate: f64 = 4.0, range 0.0..=1000000.0, scaled by load;
        /// Factor on the rate by time of day, linear between the points and across midnight.
        curve: Curve = [["00:00", 1.0]];
        /// Users. Read at start only.
        users: u32 = 560, range 1..=1000000, scaled by load;
        /// Which place a user asks.
        split: Split = "first";
        /// How often each place is checked (published for Route 53: 30 s).
        check_every: Span = "30s", range "1s"..="1h";
        /// Checks in a row that make a place unsound, or sound again (published: 3).
        checks: u32 = 3, range 1..=100;
        /// How long users believe an answer (published advice for failover: 60 s).
        time_to_live: Span = "60s", range "0s"..="1d";
        /// Requests of a user that fail in a row before the user counts as hit (assumption: one failure is a reload).
        hit_after: u32 = 2, range 1..=1000;
        /// How long after the run's start the first request comes.
        start_delay: Span = "2m", range "0s"..="1d";
        /// From when on, after the run's start, requests and users are counted (ours: an application begins without
        /// machines, and what it turns away until it has them is nobody's loss).
        counted_after: Span = "15m", range "0s"..="1d";
    }
}

/// Adds the kind.
pub fn kind() -> Kind {
    Kind { schema: ApplicationCustomersParams::SCHEMA, start: |world| Box::pin(start(world)) }
}

async fn start(world: World) -> Result<(), StartError> {
    let service = callee_of_kind(&world, ApplicationParams::SCHEMA.name)?;
    let places = instance_count(&world, &service);
    let users = world.params::<ApplicationCustomersParams>().users;
    let own = world.instance().name.clone();
    let population = Arc::new(Population {
        service,
        places,
        settings: Settings::new(&world),
        hosts: (0..users).map(|number| world.host(&format!("{own}/user-{number}"))).collect(),
        users: Mutex::new(vec![User::default(); users as usize]),
        sound: Mutex::new((0..places).collect()),
        world: world.clone(),
    });
    world.record().gauge("users-hit", 0.0);
    world.record().gauge("users", f64::from(users));
    for place in 0..places {
        world.spawn(Arc::clone(&population).check(place));
    }
    world.spawn(population.run());
    Ok(())
}

/// What is known of a user.
#[derive(Clone, Copy, Default)]
struct User {
    /// The place that the user was answered last, and until when that is believed.
    answer: Option<(usize, Moment)>,
    failures: u32,
    hit: bool,
}

struct Population {
    world: World,
    settings: Settings<ApplicationCustomersParams>,
    service: String,
    places: usize,
    hosts: Vec<Host>,
    users: Mutex<Vec<User>>,
    /// Places that pass their checks.
    sound: Mutex<BTreeSet<usize>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The two places of a user with shuffled cells: every pair comes up in turn.
pub(super) fn pair(user: usize, places: usize) -> (usize, usize) {
    let apart = 1 + (user / places) % places.saturating_sub(1).max(1);
    (user % places, (user + apart) % places)
}

fn perform() -> PerformRequest {
    PerformRequest { operation: "use".to_owned(), body: Vec::new() }
}

impl Population {
    async fn run(self: Arc<Self>) {
        let (world, clock) = (self.world.clone(), self.world.clock());
        clock.sleep_until(Moment::START + self.settings.get().start_delay).await;
        let (mut arrivals, mut choices) = (world.rng("arrivals"), world.rng("users"));
        let mut now = clock.now();
        loop {
            let settings = self.settings.get();
            let factor = |moment: Moment| settings.curve.at(world.time_of_day(moment));
            let peak = settings.rate * settings.curve.peak();
            let candidate = next_candidate(&mut arrivals, now, peak, factor, settings.rate);
            now = candidate.moment();
            clock.sleep_until(now).await;
            if let Candidate::Arrival(intended) = candidate {
                let user = choices.random_range(0..self.hosts.len());
                let spread = choices.random::<f64>();
                world.spawn(Arc::clone(&self).ask(user, spread, intended));
            }
        }
    }

    /// One request of a user, which is all a user makes of it: with shuffled cells it may take two places.
    async fn ask(self: Arc<Self>, user: usize, spread: f64, intended: Moment) {
        let (first, second) = self.places_of(user, spread);
        let mut answered = self.send(user, first, intended).await;
        if let (false, Some(second)) = (answered, second) {
            answered = self.send(user, second, intended).await;
        }
        let settings = self.settings.get();
        if intended < Moment::START + settings.counted_after {
            return;
        }
        let record = self.world.record();
        record.count("requests", 1);
        record.count("lost", u64::from(!answered));
        let mut users = lock(&self.users);
        let known = &mut users[user];
        known.failures = if answered { 0 } else { known.failures + 1 };
        known.hit |= known.failures >= settings.hit_after;
        record.gauge("users-hit", users.iter().filter(|user| user.hit).count() as f64);
    }

    async fn send(&self, user: usize, place: usize, intended: Moment) -> bool {
        match self.client(&self.hosts[user], place) {
            Some(client) => client.call_intended(intended, &service_api::PERFORM, perform()).await.is_ok(),
            None => false,
        }
    }

    fn client(&self, host: &Host, place: usize) -> Option<Client> {
        let client = host.dial_instance(&self.service, place);
        if let Err(error) = &client {
            self.world.record().event("customers.not-sent", &[("reason", error.to_string())]);
        }
        client.ok()
    }

    // === Which place ===

    fn places_of(&self, user: usize, spread: f64) -> (usize, Option<usize>) {
        match self.settings.get().split {
            Split::Cell => (user % self.places, None),
            Split::ShuffledCells => {
                let (first, second) = pair(user, self.places);
                (first, Some(second))
            }
            Split::First | Split::Even => (self.resolve(user, spread), None),
        }
    }

    /// What DNS answers, or what it has answered.
    fn resolve(&self, user: usize, spread: f64) -> usize {
        let (now, settings) = (self.world.now(), self.settings.get());
        let known = lock(&self.users)[user].answer;
        if let Some((place, _)) = known.filter(|(_, until)| now < *until) {
            return place;
        }
        let sound: Vec<usize> = lock(&self.sound).iter().copied().collect();
        // If none is sound all are answered (published: Route 53 then treats all as sound).
        let all: Vec<usize> = (0..self.places).collect();
        let places = if sound.is_empty() { &all } else { &sound };
        let place = match settings.split {
            Split::Even => places[((spread * places.len() as f64) as usize).min(places.len() - 1)],
            _ => places[0],
        };
        lock(&self.users)[user].answer = Some((place, now + settings.time_to_live));
        place
    }

    async fn check(self: Arc<Self>, place: usize) {
        let host = self.world.host(&format!("{}/checks-{place}", self.world.instance().name));
        let (mut sound, mut against) = (true, 0);
        loop {
            let settings = self.settings.get();
            self.world.sleep(settings.check_every).await;
            let Some(client) = self.client(&host, place) else { continue };
            let passed = client.call(&service_api::PERFORM, perform()).await.is_ok();
            against = if passed == sound { 0 } else { against + 1 };
            if against >= settings.checks {
                (sound, against) = (passed, 0);
                let mut all = lock(&self.sound);
                if sound {
                    all.insert(place)
                } else {
                    all.remove(&place)
                };
                self.world.record().gauge("places-sound", all.len() as f64);
            }
        }
    }
}
