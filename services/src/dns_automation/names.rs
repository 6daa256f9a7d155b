//! Where the automation keeps what in an endpoint's hosted zone, and the record tree of a plan.
//!
//! Every endpoint has a zone of its own name. In it:
//!
//! | name | type | what |
//! |---|---|---|
//! | `ENDPOINT` | alias | the root: points at the tree in use |
//! | `applied._automation.ENDPOINT` | TXT | number and tree of the plan in use; changes together with the root |
//! | `lock._automation.ENDPOINT` | TXT | who may change the above |
//! | `rollback._automation.ENDPOINT` | alias | the tree that was in use before |
//! | `TREE.ENDPOINT` | weighted aliases | the middle of a plan's tree, one record a balancer |
//! | `TREE.ENDPOINT` | TXT | number of the plan that the tree belongs to |
//! | `LEAF.TREE.ENDPOINT` | A, AAAA | a balancer's address |
//!
//! `TREE` and `LEAF` are UUIDs, which tell an operator nothing at night: so it was.

use eastfall_proto::dns_automation::{Balancer, EndpointPlan};
use eastfall_proto::route53::{Change, ListResourceRecordSetsRequest, RecordSet, RecordType};

use crate::route53::record::{alias, simple, upsert, weighted};

/// How long an address may be kept, in seconds. Published: what DynamoDB's own name has.
const ADDRESS_TTL: u32 = 5;

/// How long the automation's texts may be kept, in seconds: nobody asks for them over DNS.
const TEXT_TTL: u32 = 5;

/// The plan that an endpoint's records say is in use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Applied {
    /// Its number.
    pub generation: u64,
    /// The first label of its tree.
    pub tree: String,
}

impl Applied {
    /// As its record says it.
    pub fn text(&self) -> String {
        format!("generation={} tree={}", self.generation, self.tree)
    }

    /// Read back.
    pub fn parse(text: &str) -> Option<Self> {
        let (generation, tree) = text.strip_prefix("generation=")?.split_once(" tree=")?;
        Some(Applied { generation: generation.parse().ok()?, tree: tree.to_owned() })
    }
}

/// The name below which everything but the trees is.
pub fn control(endpoint: &str) -> String {
    format!("_automation.{endpoint}")
}

/// A request for everything but the trees, in one list.
pub fn list_control(endpoint: &str) -> ListResourceRecordSetsRequest {
    ListResourceRecordSetsRequest { zone: endpoint.to_owned(), name: control(endpoint), ..Default::default() }
}

/// A request for all texts of the zone, the trees' numbers among them.
pub fn list_texts(endpoint: &str) -> ListResourceRecordSetsRequest {
    let r#type = RecordType::Txt as i32;
    ListResourceRecordSetsRequest { zone: endpoint.to_owned(), r#type, ..Default::default() }
}

/// A request for everything of one tree.
pub fn list_tree(endpoint: &str, tree: &str) -> ListResourceRecordSetsRequest {
    ListResourceRecordSetsRequest {
        zone: endpoint.to_owned(),
        name: tree_name(endpoint, tree),
        ..Default::default()
    }
}

/// The name of a tree.
pub fn tree_name(endpoint: &str, tree: &str) -> String {
    format!("{tree}.{endpoint}")
}

/// The lock with a value.
pub fn lock_record(endpoint: &str, value: &str) -> RecordSet {
    simple(&format!("lock.{}", control(endpoint)), RecordType::Txt, TEXT_TTL, &[value])
}

/// What says which plan is in use.
pub fn applied_record(endpoint: &str, applied: &Applied) -> RecordSet {
    simple(&format!("applied.{}", control(endpoint)), RecordType::Txt, TEXT_TTL, &[&applied.text()])
}

/// The rollback records: an alias of each address type to a tree.
pub fn rollback_records(endpoint: &EndpointPlan, tree: &str) -> Vec<RecordSet> {
    aliases(endpoint, &format!("rollback.{}", control(&endpoint.endpoint)), tree)
}

/// The root records: an alias of each address type to a tree.
pub fn root_records(endpoint: &EndpointPlan, tree: &str) -> Vec<RecordSet> {
    aliases(endpoint, &endpoint.endpoint, tree)
}

fn aliases(endpoint: &EndpointPlan, name: &str, tree: &str) -> Vec<RecordSet> {
    let target = tree_name(&endpoint.endpoint, tree);
    address_types(endpoint).map(|record_type| alias(name, record_type, &target)).collect()
}

fn address_types(endpoint: &EndpointPlan) -> impl Iterator<Item = RecordType> {
    [RecordType::A, RecordType::Aaaa].into_iter().take(if endpoint.dual_stack { 2 } else { 1 })
}

/// The changes that build an endpoint's tree whole beside whatever there is. Its number comes first, so that a tree
/// that was left half built can be found and deleted.
pub fn tree_changes(endpoint: &EndpointPlan, generation: u64) -> Vec<Change> {
    let tree = tree_name(&endpoint.endpoint, &endpoint.tree);
    let number = simple(&tree, RecordType::Txt, TEXT_TTL, &[&format!("generation={generation}")]);
    let leaf_name = |balancer: &Balancer| format!("{}.{tree}", balancer.leaf);
    let each =
        || endpoint.balancers.iter().flat_map(|balancer| address_types(endpoint).map(move |t| (balancer, t)));
    let leaves = each().map(|(balancer, record_type)| {
        let address = match record_type {
            // Addresses of loopback networks beyond the first exist for IPv4 only, so AAAA has the mapped form.
            RecordType::Aaaa => format!("::ffff:{}", balancer.address),
            _ => balancer.address.clone(),
        };
        simple(&leaf_name(balancer), record_type, ADDRESS_TTL, &[&address])
    });
    let middle = each().map(|(balancer, record_type)| {
        weighted(alias(&tree, record_type, &leaf_name(balancer)), &balancer.leaf, balancer.weight)
    });
    let mut changes = Vec::with_capacity(tree_size(endpoint));
    changes.extend(std::iter::once(number).chain(leaves).chain(middle).map(upsert));
    changes
}

/// How many changes that is.
pub fn tree_size(endpoint: &EndpointPlan) -> usize {
    1 + 2 * endpoint.balancers.len() * address_types(endpoint).count()
}

/// The tree and the number that a text of the zone says it has.
pub fn tree_number(endpoint: &str, record: &RecordSet) -> Option<(String, u64)> {
    let tree = record.name.strip_suffix(endpoint)?.strip_suffix('.')?;
    let number = record.values.first()?.strip_prefix("generation=")?.parse().ok()?;
    (!tree.contains('.')).then(|| (tree.to_owned(), number))
}

/// The text of one of the control records in a list.
pub fn control_text<'a>(records: &'a [RecordSet], endpoint: &str, label: &str) -> Option<&'a str> {
    let name = format!("{label}.{}", control(endpoint));
    let record = records.iter().find(|record| record.name == name && record.r#type() == RecordType::Txt)?;
    record.values.first().map(String::as_str)
}

/// The tree that the rollback record in a list points at.
pub fn rollback_tree(records: &[RecordSet], endpoint: &str) -> Option<String> {
    let name = format!("rollback.{}", control(endpoint));
    let target = &records.iter().find(|record| record.name == name)?.alias.as_ref()?.name;
    Some(target.strip_suffix(endpoint)?.strip_suffix('.')?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_takes_as_many_changes_as_are_said() {
        for (balancers, dual_stack) in [(0, false), (1, true), (16, false), (16, true)] {
            let endpoint = EndpointPlan {
                endpoint: "dynamodb.test".to_owned(),
                balancers: vec![Balancer::default(); balancers],
                dual_stack,
                tree: "tree".to_owned(),
            };
            let changes = tree_changes(&endpoint, 7).len();
            assert_eq!(changes, tree_size(&endpoint), "{balancers} balancers, dual stack: {dual_stack}");
        }
    }
}
