//! Groups with a wished-for number of members: the tasks of a service, the nodes of a node group, the workers of an
//! environment.
//!
//! The wish is written down and answered at once; a keeper compares it with what there is, round by round, and starts or
//! stops members. That is why an outage delays scaling rather than failing it: wishes can be written while nothing can be
//! started, and come all together when it can. The books are in DynamoDB, so a keeper that is restarted goes on where
//! it was, and one that can't reach its books does nothing.

use std::collections::BTreeMap;
use std::sync::Mutex;

use eastfall_fabric::call::Context;
use eastfall_fabric::world::{StartError, World};
use eastfall_topology::Span;
use futures_util::future::join_all;
use tonic::Status;

use crate::dynamodb::update::set;
use crate::dynamodb::value::{item, number, parsed, string, text};
use crate::settings::instance_count;
use crate::tables::Tables;

/// How members come and go.
#[async_trait::async_trait]
pub(crate) trait Members: Send + Sync {
    /// Starts one. The wish's name is new for each; answers the member's name.
    async fn start(&self, wish: &str) -> Result<String, Status>;
    /// Stops one. May be repeated.
    async fn stop(&self, member: &str) -> Result<(), Status>;
}

/// How fast a keeper works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// From one round to the next.
    pub(crate) every: Span,
    /// Members that a round starts or stops at most, in all groups of the keeper together.
    pub(crate) at_once: u32,
}

/// What is known of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Members wished for.
    pub(crate) desired: u32,
    /// Members there are.
    pub(crate) members: u32,
}

/// Groups of one kind. Every instance of the service keeps its share of them.
pub(crate) struct Groups {
    world: World,
    tables: Tables,
    groups: String,
    members: String,
    /// Members by group, as far as this keeper has looked.
    known: Mutex<BTreeMap<String, Vec<String>>>,
}

/// Which of so many hosts is in charge of a name.
pub(crate) fn host_of(name: &str, hosts: usize) -> usize {
    // FNV-1a: the same in every run and process.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash % hosts.max(1) as u64) as usize
}

impl Groups {
    /// Groups whose tables begin with a prefix.
    ///
    /// # Errors
    /// If the service calls no DynamoDB.
    pub(crate) fn of(world: &World, prefix: &str) -> Result<Groups, StartError> {
        Ok(Groups {
            tables: Tables::of(world)?,
            groups: format!("{prefix}-groups"),
            members: format!("{prefix}-members"),
            known: Mutex::default(),
            world: world.clone(),
        })
    }

    // === What requests do ===

    /// Writes down how many members a group shall have, and makes the group if there is none.
    ///
    /// # Errors
    /// As DynamoDB answers, as for all that follow.
    pub(crate) async fn wish(&self, context: &Context, group: &str, desired: u32) -> Result<(), Status> {
        let actions = vec![set("desired", number(desired))];
        self.tables.within(context).update(&self.groups, self.key(group), actions).await
    }

    /// A group, if there is one.
    ///
    /// # Errors
    /// See [`Groups::wish`].
    pub(crate) async fn find(&self, context: &Context, group: &str) -> Result<Option<Group>, Status> {
        let found = self.tables.within(context).get(&self.groups, self.key(group)).await?;
        Ok(read(&found))
    }

    fn key(&self, group: &str) -> crate::dynamodb::value::Item {
        let service = &self.world.instance().service;
        let keeper = host_of(group, instance_count(&self.world, service));
        item([("keeper", string(keeper.to_string())), ("group", string(group))])
    }

    // === What the keeper does ===

    /// Keeps this instance's share, for ever.
    pub(crate) async fn keep(&self, members: &dyn Members, pace: impl Fn() -> Pace) {
        let (groups, own) =
            (format!("{}(keeper,group)", self.groups), format!("{}(group,member)", self.members));
        self.tables.prepare(&self.world, &[&groups, &own]).await;
        let (mut round, mut failing) = (0, false);
        loop {
            let pace = pace();
            match self.round(members, pace.at_once, round).await {
                Ok(()) => failing = false,
                Err(status) => {
                    self.world.record().count("rounds-failed", 1);
                    if !failing {
                        let reason = status.message().to_owned();
                        self.world.record().event("rounds-fail", &[("reason", reason)]);
                    }
                    failing = true;
                }
            }
            round += 1;
            self.world.sleep(pace.every).await;
        }
    }

    async fn round(&self, members: &dyn Members, at_once: u32, round: usize) -> Result<(), Status> {
        let own = self.world.instance().index.to_string();
        let found = self.tables.all_of(&self.groups, &own).await?;
        let mut groups: Vec<Group> = found.iter().filter_map(read).collect();
        if groups.is_empty() {
            return Ok(());
        }
        // Whoever is first gets the last that there is; it shall not always be the same group.
        let turn = round % groups.len();
        groups.rotate_left(turn);
        let (mut left, mut failed) = (at_once as usize, None);
        let (mut wanted, mut running, mut missing) = (0, 0, 0);
        for group in groups {
            let mut there = self.members_of(&group.name).await?;
            if failed.is_none() && left > 0 {
                let changed = self.adjust(members, &group, &mut there, left).await;
                match changed {
                    Ok(changes) => left -= changes,
                    // What one group could not get, another would not either: until the next round.
                    Err(status) => failed = Some(status),
                }
                self.known_groups().insert(group.name.clone(), there.clone());
                if there.len() != group.members as usize {
                    let actions = vec![set("members", number(there.len()))];
                    self.tables.update(&self.groups, self.key(&group.name), actions).await?;
                }
            }
            wanted += group.desired as usize;
            running += there.len();
            missing += (group.desired as usize).saturating_sub(there.len());
        }
        let record = self.world.record();
        record.gauge("wanted", wanted as f64);
        record.gauge("running", running as f64);
        record.gauge("missing", missing as f64);
        failed.map_or(Ok(()), Err)
    }

    /// Starts or stops what is missing or too much, and tells how many changes that were.
    async fn adjust(
        &self,
        members: &dyn Members,
        group: &Group,
        there: &mut Vec<String>,
        most: usize,
    ) -> Result<usize, Status> {
        let desired = group.desired as usize;
        let starts = desired.saturating_sub(there.len()).min(most);
        let stops = there.len().saturating_sub(desired).min(most);
        let now = self.world.now().as_nanos();
        let wishes: Vec<String> =
            (0..starts).map(|number| format!("{}/{now}/{number}", group.name)).collect();
        let started = join_all(wishes.iter().map(|wish| self.start(members, &group.name, wish))).await;
        let ending = there.split_off(there.len() - stops);
        let stopped = join_all(ending.iter().map(|member| self.stop(members, &group.name, member))).await;
        let mut failed = None;
        for (member, outcome) in ending.into_iter().zip(stopped) {
            if let Err(status) = outcome {
                there.push(member);
                failed = Some(status);
            }
        }
        for outcome in started {
            match outcome {
                Ok(member) => there.push(member),
                Err(status) => failed = Some(status),
            }
        }
        failed.map_or(Ok(starts + stops), Err)
    }

    async fn start(&self, members: &dyn Members, group: &str, wish: &str) -> Result<String, Status> {
        let outcome = members.start(wish).await;
        let what = if outcome.is_ok() { "starts-ok" } else { "starts-failed" };
        self.world.record().count(what, 1);
        let member = outcome?;
        if let Err(status) = self.tables.put(&self.members, member_item(group, &member)).await {
            // Nobody would know of it after a restart.
            let _ = members.stop(&member).await;
            return Err(status);
        }
        Ok(member)
    }

    async fn stop(&self, members: &dyn Members, group: &str, member: &str) -> Result<(), Status> {
        members.stop(member).await?;
        self.tables.delete(&self.members, member_item(group, member)).await
    }

    async fn members_of(&self, group: &str) -> Result<Vec<String>, Status> {
        if let Some(known) = self.known_groups().get(group) {
            return Ok(known.clone());
        }
        let found = self.tables.all_of(&self.members, group).await?;
        Ok(found.iter().filter_map(|item| text(item, "member")).map(str::to_owned).collect())
    }

    fn known_groups(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<String>>> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn member_item(group: &str, member: &str) -> crate::dynamodb::value::Item {
    item([("group", string(group)), ("member", string(member))])
}

fn read(found: &crate::dynamodb::value::Item) -> Option<Group> {
    Some(Group {
        name: text(found, "group")?.to_owned(),
        desired: parsed(found, "desired")?,
        members: parsed(found, "members").unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_is_in_charge_of_some_names_and_a_name_of_one_host_always() {
        let hosts: std::collections::BTreeSet<usize> =
            (0..40).map(|number| host_of(&format!("service-{number}"), 3)).collect();
        assert_eq!(hosts.len(), 3, "forty names reach all three");
        assert_eq!(host_of("service-1", 3), host_of("service-1", 3), "the same each time");
    }
}
