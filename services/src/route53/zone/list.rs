//! Listing a zone, page by page.

use eastfall_fabric::dns::canonical;
use eastfall_proto::route53::{ListResourceRecordSetsRequest, RecordSet, RecordType};

use super::{Key, Zone, reversed};

/// Records at most on a page, apart from those that belong to its last name.
const PAGE: usize = 1000;

/// A page of records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The records, names read from the right in order.
    pub records: Vec<RecordSet>,
    /// The name with which the next page begins; nothing at the end.
    pub next_name: Option<String>,
}

impl Zone {
    /// The records that a request asks for. A name's records are never parted: a page ends with the name that fills it.
    pub fn list(&self, request: &ListResourceRecordSetsRequest) -> Page {
        let within = reversed(&canonical(if request.name.is_empty() { &self.name } else { &request.name }));
        let from = if request.start_name.is_empty() {
            within.clone()
        } else {
            reversed(&canonical(&request.start_name))
        };
        let limit = if request.max_items == 0 { PAGE } else { (request.max_items as usize).min(PAGE) };
        let mut page = Page::default();
        // Siblings such as `x-y` stand between `x` and what is below it, since a hyphen sorts before a dot.
        let near = self.records.range(Key::first(from)..);
        let near = near.take_while(|(key, _)| key.reversed.starts_with(&within));
        let all =
            near.filter(|(key, _)| matches!(key.reversed.as_bytes().get(within.len()), None | Some(b'.')));
        for (key, record) in all {
            if request.r#type != RecordType::Unspecified as i32 && request.r#type != key.record_type {
                continue;
            }
            if page.records.len() >= limit && page.records.last().is_some_and(|last| last.name != record.name)
            {
                page.next_name = Some(record.name.clone());
                break;
            }
            page.records.push(RecordSet::clone(record));
        }
        page
    }
}
