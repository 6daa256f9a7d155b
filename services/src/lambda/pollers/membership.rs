//! Who polls SQS: a group of hosts with a leader, written down in DynamoDB.
//!
//! Each host writes a sign of life; the leader lists the hosts that live, and the list says which poller runs where.
//! Leadership has a generation, so that of two who believe to be leader only one can write. All of it is the usual
//! design, and it heals when one host is cut off or dies.
//!
//! The rule that makes it fail as a whole (inferred; that the subsystem failed and did not recover is published): **a host
//! that was cut off longer than `gives-up-after` has left**. It gives up its pollers and its leadership, asks to be
//! admitted again, and may not become leader, since what it knows may be old. Admission is the leader's. When every
//! host was cut off, all of them ask, and none may answer. A process that is started anew has never left: restarting
//! one host brings back all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::world::World;
use eastfall_proto::dynamodb::Comparator;
use eastfall_topology::{Moment, Span};
use tonic::{Code, Status};

use super::{PollersParams, SCHEMA, TABLE};
use crate::dynamodb::condition::{is, not_exists};
use crate::dynamodb::value::{self, Item, item, number, string};
use crate::settings::Settings;
use crate::tables::Tables;

/// The partition of the group, the member that is the leader's row, and what begins a host's.
const GROUP: &str = "sqs";
const LEADER: &str = "leader";
const HOST: &str = "host/";

/// A host's own view of the group.
pub(super) struct Membership {
    world: World,
    settings: Settings<PollersParams>,
    tables: Tables,
    name: String,
    state: Mutex<State>,
}

struct State {
    standing: Standing,
    /// The generation that this host leads.
    leading: Option<u64>,
    /// Who polls, in the leader's order; empty when this host does not.
    members: Vec<String>,
    last_written: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It was never cut off for long: started and not admitted yet, or a member.
    Good,
    /// It was cut off for too long.
    Left,
}

/// What is written down of the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Leader {
    holder: String,
    generation: u64,
    seen: Moment,
    members: Vec<String>,
}

/// What a host does in a round.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Writes down that it leads, in place of the generation that is written there.
    Lead { generation: u64, in_place_of: Option<u64> },
    /// Polls as the leader says.
    Follow(Vec<String>),
    /// Waits to be admitted.
    Wait,
}

impl Membership {
    pub(super) fn new(world: &World, tables: Tables) -> Arc<Membership> {
        let state = State {
            standing: Standing::Good,
            leading: None,
            members: Vec::new(),
            last_written: Moment::START,
        };
        Arc::new(Membership {
            name: world.instance().name.clone(),
            settings: Settings::new(world),
            state: Mutex::new(state),
            world: world.clone(),
            tables,
        })
    }

    /// Whether this host runs the poller with this number.
    pub(super) fn assigns(&self, poller: u32) -> bool {
        let state = self.state();
        let place = poller as usize % state.members.len().max(1);
        state.members.get(place) == Some(&self.name)
    }

    /// Takes part in the group, for ever.
    pub(super) async fn keep(self: Arc<Self>) {
        self.world.clock().sleep_until(Moment::START + self.settings.get().start_delay).await;
        self.tables.prepare(&self.world, &[SCHEMA]).await;
        self.state().last_written = self.world.now();
        loop {
            let settings = self.settings.get();
            match self.round(&settings).await {
                Ok(()) => self.state().last_written = self.world.now(),
                Err(status) => self.consider_leaving(&status, settings.gives_up_after),
            }
            self.say(settings.sqs_pollers);
            self.world.sleep(settings.renew_every).await;
        }
    }

    async fn round(&self, settings: &PollersParams) -> Result<(), Status> {
        let now = self.world.now();
        let own = item([
            ("group", string(GROUP)),
            ("member", string(format!("{HOST}{}", self.name))),
            ("seen", number(now.as_nanos())),
        ]);
        self.tables.put(TABLE, own).await?;
        let rows = self.tables.all_of(TABLE, GROUP).await?;
        let leader = rows.iter().find_map(read_leader);
        let (standing, leading) = {
            let state = self.state();
            (state.standing, state.leading)
        };
        let may_lead = standing == Standing::Good || settings.rejoins_alone;
        let step = decide(&self.name, now, leader.as_ref(), leading, may_lead, settings.gives_up_after);
        match step {
            Step::Lead { generation, in_place_of } => {
                let live = live_hosts(&rows, now, settings.gives_up_after);
                self.lead(generation, in_place_of, live).await
            }
            Step::Follow(members) => {
                self.admitted(None, members);
                Ok(())
            }
            Step::Wait => {
                let mut state = self.state();
                (state.leading, state.members) = (None, Vec::new());
                Ok(())
            }
        }
    }

    async fn lead(
        &self,
        generation: u64,
        in_place_of: Option<u64>,
        members: Vec<String>,
    ) -> Result<(), Status> {
        let row = item([
            ("group", string(GROUP)),
            ("member", string(LEADER)),
            ("holder", string(&self.name)),
            ("generation", number(generation)),
            ("seen", number(self.world.now().as_nanos())),
            ("members", string(members.join(" "))),
        ]);
        let unchanged = match in_place_of {
            Some(before) => is("generation", Comparator::Equal, number(before)),
            None => not_exists("group"),
        };
        match self.tables.put_if(TABLE, row, unchanged).await {
            Ok(()) => {
                if in_place_of != Some(generation) {
                    let fields = [("generation", generation.to_string()), ("members", members.join(" "))];
                    self.world.record().event("pollers.leader-elected", &fields);
                }
                self.admitted(Some(generation), members);
                Ok(())
            }
            // Somebody else was faster; the next round shows who.
            Err(status) if status.code() == Code::FailedPrecondition => {
                self.state().leading = None;
                Ok(())
            }
            Err(status) => Err(status),
        }
    }

    fn admitted(&self, leading: Option<u64>, members: Vec<String>) {
        let mut state = self.state();
        (state.standing, state.leading, state.members) = (Standing::Good, leading, members);
    }

    /// Leaves the group if it could not be reached for too long.
    fn consider_leaving(&self, status: &Status, gives_up_after: Span) {
        let mut state = self.state();
        let cut_off = self.world.now().since(state.last_written);
        if cut_off < gives_up_after || state.standing == Standing::Left {
            return;
        }
        (state.standing, state.leading, state.members) = (Standing::Left, None, Vec::new());
        drop(state);
        let reason = format!("the store could not be reached for {cut_off}: {}", status.message());
        self.world.record().event("pollers.left", &[("reason", reason)]);
    }

    fn say(&self, pollers: u32) {
        let running = (0..pollers).filter(|poller| self.assigns(*poller)).count();
        self.world.record().gauge("sqs-pollers", running as f64);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a host does, by what is written down of the leader and what it is itself.
fn decide(
    own: &str,
    now: Moment,
    leader: Option<&Leader>,
    leading: Option<u64>,
    may_lead: bool,
    gives_up_after: Span,
) -> Step {
    match leader {
        Some(leader) if leader.holder == own && leading == Some(leader.generation) => {
            Step::Lead { generation: leader.generation, in_place_of: Some(leader.generation) }
        }
        Some(leader) if now.since(leader.seen) <= gives_up_after => {
            match leader.members.iter().any(|member| member == own) {
                true => Step::Follow(leader.members.clone()),
                false => Step::Wait,
            }
        }
        gone if may_lead => {
            let before = gone.map(|leader| leader.generation);
            Step::Lead { generation: before.unwrap_or(0) + 1, in_place_of: before }
        }
        _ => Step::Wait,
    }
}

fn read_leader(row: &Item) -> Option<Leader> {
    if value::text(row, "member") != Some(LEADER) {
        return None;
    }
    let members = value::text(row, "members")?.split_whitespace().map(str::to_owned).collect();
    Some(Leader {
        holder: value::text(row, "holder")?.to_owned(),
        generation: value::parsed(row, "generation")?,
        seen: Moment::from_nanos(value::parsed(row, "seen")?),
        members,
    })
}

/// The hosts that gave a sign of life, in the order of their names: those that ask to be admitted give one too.
fn live_hosts(rows: &[Item], now: Moment, gives_up_after: Span) -> Vec<String> {
    let live = rows.iter().filter_map(|row| {
        let name = value::text(row, "member")?.strip_prefix(HOST)?;
        let seen = Moment::from_nanos(value::parsed(row, "seen")?);
        (now.since(seen) <= gives_up_after).then(|| name.to_owned())
    });
    live.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVES_UP: Span = Span::from_mins(2);

    fn at(minutes: u64) -> Moment {
        Moment::START + Span::from_mins(minutes)
    }

    fn leader(seen: Moment) -> Leader {
        Leader { holder: "a".to_owned(), generation: 4, seen, members: vec!["a".to_owned(), "b".to_owned()] }
    }

    #[test]
    fn a_leader_that_is_gone_is_replaced_by_a_member_and_by_nobody_who_has_left() {
        let gone = leader(at(0));
        let takes_over = Step::Lead { generation: 5, in_place_of: Some(4) };
        assert_eq!(decide("b", at(10), Some(&gone), None, true, GIVES_UP), takes_over, "a member");
        assert_eq!(decide("b", at(10), Some(&gone), None, false, GIVES_UP), Step::Wait, "one that left");
        assert_eq!(decide("a", at(10), Some(&gone), None, false, GIVES_UP), Step::Wait, "not even itself");
    }

    #[test]
    fn whoever_the_leader_lists_polls_and_the_others_wait() {
        let there = leader(at(10));
        let members = there.members.clone();
        assert_eq!(decide("b", at(11), Some(&there), None, false, GIVES_UP), Step::Follow(members));
        assert_eq!(decide("c", at(11), Some(&there), None, true, GIVES_UP), Step::Wait, "not admitted yet");
    }

    #[test]
    fn a_leader_goes_on_as_long_as_its_generation_stands() {
        let own = leader(at(0));
        let goes_on = Step::Lead { generation: 4, in_place_of: Some(4) };
        assert_eq!(decide("a", at(1), Some(&own), Some(4), true, GIVES_UP), goes_on);
        let newer = Leader { holder: "b".to_owned(), generation: 5, ..leader(at(1)) };
        let follows = Step::Follow(newer.members.clone());
        assert_eq!(decide("a", at(1), Some(&newer), Some(4), true, GIVES_UP), follows, "another was elected");
    }
}
