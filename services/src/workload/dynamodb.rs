//! Requests to DynamoDB: items of one table under keys of different popularity.

use eastfall_proto::dynamodb::dynamo_db_api as api;
use eastfall_proto::dynamodb::transact_write_item::Item as Kind;
use eastfall_proto::dynamodb::write_request::Write;
use eastfall_proto::dynamodb::{Item as ItemMessage, *};

use super::{Draw, Operation, operation};
use crate::dynamodb::update::increase;
use crate::dynamodb::value::{self, Item};

const DYNAMODB: &[&str] = &["dynamodb", "dynamodb-replica"];
/// The partition key of the table that callers use.
const KEY: &str = "id";
/// Items of a batch or transaction (assumption: a handful).
const SEVERAL: usize = 4;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(DYNAMODB, &api::GET_ITEM, |draw| {
            let key = drawn_key(draw);
            GetItemRequest { table_name: table(draw), key, consistent_read: false }
        }),
        operation(DYNAMODB, &api::PUT_ITEM, put),
        operation(DYNAMODB, &api::UPDATE_ITEM, |draw| {
            let (key, actions) = (drawn_key(draw), vec![increase("visits", 1)]);
            UpdateItemRequest { table_name: table(draw), key, actions, ..UpdateItemRequest::default() }
        }),
        operation(DYNAMODB, &api::DELETE_ITEM, |draw| {
            let key = drawn_key(draw);
            DeleteItemRequest { table_name: table(draw), key, ..DeleteItemRequest::default() }
        }),
        operation(DYNAMODB, &api::QUERY, |draw| {
            let partition = Some(value::string(name(draw.key())));
            QueryRequest { table_name: table(draw), partition, limit: 20, ..QueryRequest::default() }
        }),
        operation(DYNAMODB, &api::BATCH_WRITE_ITEM, |draw| {
            let put =
                |number, draw: &Draw<'_>| Some(Write::Put(ItemMessage { attributes: item(number, draw) }));
            let numbers = draw.keys(SEVERAL);
            let request = |number| WriteRequest { table_name: table(draw), write: put(number, draw) };
            BatchWriteItemRequest {
                requests: numbers.into_iter().map(|number| request(number).into()).collect(),
            }
        }),
        operation(DYNAMODB, &api::BATCH_GET_ITEM, |draw| {
            let numbers = draw.keys(SEVERAL);
            let key = |number| TableKey { table_name: table(draw), key: key(number) };
            BatchGetItemRequest { keys: numbers.into_iter().map(key).collect(), consistent_read: false }
        }),
        operation(DYNAMODB, &api::TRANSACT_WRITE_ITEMS, |draw| {
            let numbers = draw.keys(SEVERAL);
            let put = |number| {
                let (table_name, item) = (table(draw), item(number, draw));
                Kind::Put(PutItemRequest { table_name, item, ..PutItemRequest::default() })
            };
            let items = numbers.into_iter().map(|number| TransactWriteItem { item: Some(put(number)) });
            TransactWriteItemsRequest { items: items.collect() }
        }),
    ]
}

fn put(draw: &mut Draw<'_>) -> PutItemRequest {
    let number = draw.key();
    PutItemRequest { table_name: table(draw), item: item(number, draw), ..PutItemRequest::default() }
}

fn table(draw: &Draw<'_>) -> String {
    draw.shape.table.clone()
}

fn name(number: u64) -> String {
    format!("item-{number}")
}

fn key(number: u64) -> Item {
    value::item([(KEY, value::string(name(number)))])
}

fn drawn_key(draw: &mut Draw<'_>) -> Item {
    key(draw.key())
}

fn item(number: u64, draw: &Draw<'_>) -> Item {
    let body = value::bytes(vec![0; draw.shape.item_bytes as usize]);
    value::item([(KEY, value::string(name(number))), ("body", body)])
}
