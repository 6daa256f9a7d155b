//! What IAM keeps in DynamoDB: its entities, and the log of their changes that other regions follow.
//!
//! An entity and its place in the log are written in one transaction, so a replica can't miss a change that was
//! acknowledged, nor see one that was not.

use std::sync::Arc;

use eastfall_fabric::world::{StartError, World};
use eastfall_proto::dynamodb::sort_condition::Test;
use eastfall_proto::dynamodb::write_request::Write;
use eastfall_proto::dynamodb::{
    AttributeValue, Comparator, Condition, Item as ItemMessage, QueryRequest, SortCondition, WriteRequest,
    attribute_value,
};
use eastfall_proto::iam::{Change, Entity};
use eastfall_topology::Span;
use prost::Message as _;
use tonic::{Code, Status};

use super::{IamParams, conflict, no_such, seed, unavailable};
use crate::copies::Copies;
use crate::dynamodb::condition::{is, not_exists};
use crate::dynamodb::value::{Item, bytes, item, number, string};
use crate::settings::Settings;
use crate::tables::Tables;

/// The table of entities and its key.
pub(crate) const ENTITIES: &str = "iam-entities";
pub(crate) const ENTITY_KEY: &str = "name";
const CHANGES: &str = "iam-changes";
const SCHEMAS: [&str; 2] = ["iam-entities(name)", "iam-changes(log,number:N)"];
/// The one partition of the log.
const LOG: &str = "iam";
/// Changes that one answer holds.
const PAGE: u32 = 100;
/// How often a write is tried whose place in the log another has taken.
const TRIES: u32 = 5;
/// Entities that are written at a time before there are users; each with its place in the log, 25 items a batch at most.
const SEEDED_AT_ONCE: usize = 12;
/// How long before that is tried again.
const TRY_AGAIN: Span = Span::from_secs(5);

/// IAM's own tables.
pub(super) struct Store {
    world: World,
    tables: Tables,
    copies: Arc<Copies>,
    settings: Arc<Settings<IamParams>>,
}

impl Store {
    pub(super) fn of(world: &World) -> Result<Store, StartError> {
        let tables = Tables::of(world)?;
        let settings = Arc::new(Settings::<IamParams>::new(world));
        let limits = Arc::clone(&settings);
        let copies = Copies::new(world, tables.clone(), ENTITIES, ENTITY_KEY, move || limits.get().limits());
        Ok(Store { world: world.clone(), tables, copies, settings })
    }

    /// Makes the tables; the first instance also the entities that there are before the run.
    pub(super) async fn prepare(&self) {
        self.tables.prepare(&self.world, &SCHEMAS).await;
        if self.world.instance().index != 0 {
            return;
        }
        let entities = seed::entities(&self.settings.get());
        while let Err(error) = self.seed(&entities).await {
            let fields = [("table", ENTITIES.to_owned()), ("reason", error.message().to_owned())];
            self.world.record().event("table-not-ready", &fields);
            self.world.sleep(TRY_AGAIN).await;
        }
    }

    async fn seed(&self, entities: &[Entity]) -> Result<(), Status> {
        // The last one is there: so are all before it.
        let last = item([(ENTITY_KEY, string(seed::LAST))]);
        if !self.tables.get(ENTITIES, last).await?.is_empty() {
            return Ok(());
        }
        let mut place = 0;
        for several in entities.chunks(SEEDED_AT_ONCE) {
            let mut requests = Vec::with_capacity(2 * several.len());
            for entity in several {
                place += 1;
                for (table, item) in [(ENTITIES, entity_item(entity)), (CHANGES, change_item(place, entity))]
                {
                    let write = Some(Write::Put(ItemMessage { attributes: item }));
                    requests.push(WriteRequest { table_name: table.to_owned(), write }.into());
                }
            }
            while !requests.is_empty() {
                requests = self.tables.write_batch(requests).await?;
            }
        }
        self.world.record().event("iam.entities-there", &[("count", entities.len().to_string())]);
        Ok(())
    }

    /// An entity for a decision: as a copy has it.
    pub(super) async fn entity(&self, name: &str) -> Result<Entity, Status> {
        let found = self.copies.get(name).await;
        let item = found.map_err(|status| unavailable(&status))?;
        entity_of(&item).ok_or_else(|| no_such(name))
    }

    /// An entity for those who manage it: as it is now.
    pub(super) async fn entity_now(&self, name: &str) -> Result<Option<Entity>, Status> {
        let found = self.copies.read(name).await;
        let item = found.map_err(|status| unavailable(&status))?;
        Ok(entity_of(&item))
    }

    /// Changes an entity (or makes it, if `edit` does of none), in one with its place in the log.
    pub(super) async fn change(
        &self,
        name: &str,
        edit: impl Fn(Option<Entity>) -> Result<Entity, Status> + Send + Sync,
    ) -> Result<(), Status> {
        // Nobody takes a place in the log that one of the first entities is to have.
        self.entity(seed::LAST).await.map_err(|status| unavailable(&status))?;
        for _ in 0..TRIES {
            let before = self.entity_now(name).await?;
            let condition = match &before {
                None => not_exists(ENTITY_KEY),
                Some(before) => is("version", Comparator::Equal, number(before.version)),
            };
            let version = before.as_ref().map_or(0, |before| before.version);
            let entity = Entity { name: name.to_owned(), version: version + 1, ..edit(before)? };
            let written = self.copies.guarded(self.write(&entity, condition)).await;
            match written {
                Ok(()) => {
                    self.copies.forget(name);
                    return Ok(());
                }
                Err(status) if is_conflict(&status) => {}
                Err(status) => return Err(unavailable(&status)),
            }
        }
        Err(conflict(name))
    }

    async fn write(&self, entity: &Entity, condition: Condition) -> Result<(), Status> {
        let number = self.head().await? + 1;
        let change = (CHANGES, change_item(number, entity), not_exists("number"));
        self.tables.put_all(vec![(ENTITIES, entity_item(entity), condition), change]).await
    }

    /// The number of the last change; 0 if there is none.
    async fn head(&self) -> Result<u64, Status> {
        let query = QueryRequest { descending: true, limit: 1, ..log_query(None) };
        let last = self.tables.page(query).await?;
        Ok(last.first().and_then(|item| crate::dynamodb::value::parsed(item, "number")).unwrap_or(0))
    }

    /// The changes after a number, in order; one page.
    pub(super) async fn changes_after(&self, after: u64) -> Result<Vec<Change>, Status> {
        let query = QueryRequest { limit: PAGE, ..log_query(Some(after)) };
        let page = self.copies.guarded(self.tables.page(query)).await;
        let items = page.map_err(|status| unavailable(&status))?;
        let change = |item: &Item| {
            let number = crate::dynamodb::value::parsed(item, "number")?;
            Some(Change { number, entity: Some(entity_of(item)?) })
        };
        Ok(items.iter().filter_map(change).collect())
    }
}

fn is_conflict(status: &Status) -> bool {
    matches!(status.code(), Code::FailedPrecondition | Code::Aborted)
}

fn log_query(after: Option<u64>) -> QueryRequest {
    let sort = after.map(|after| SortCondition { test: Some(Test::Greater(number(after))) });
    QueryRequest {
        table_name: CHANGES.to_owned(),
        partition: Some(string(LOG)),
        sort,
        consistent_read: true,
        ..QueryRequest::default()
    }
}

fn entity_item(entity: &Entity) -> Item {
    item([
        (ENTITY_KEY, string(&entity.name)),
        ("version", number(entity.version)),
        ("entity", bytes(entity.encode_to_vec())),
    ])
}

fn change_item(place: u64, entity: &Entity) -> Item {
    item([("log", string(LOG)), ("number", number(place)), ("entity", bytes(entity.encode_to_vec()))])
}

/// The entity that an item holds; none in an item that is not there.
pub(crate) fn entity_of(item: &Item) -> Option<Entity> {
    let AttributeValue { value: Some(attribute_value::Value::B(encoded)) } = item.get("entity")? else {
        return None;
    };
    Entity::decode(encoded.as_slice()).ok()
}
