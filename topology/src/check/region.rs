//! `[region]` and `[record]`: what all services share.

use super::names::check_dns_name;
use super::services::Outline;
use super::{ANY_SPAN, SHARE};
use crate::read::Fields;
use crate::read::value::{Fault, Readable};
use crate::{Record, Region, Span};

/// What recording may be set to: finer costs memory for nothing, coarser shows nothing.
const RECORDING: std::ops::RangeInclusive<Span> = Span::from_millis(1)..=Span::from_mins(24 * 60);

pub(super) fn region(top: &mut Fields<'_, '_>, outline: &Outline<'_>) -> Region {
    let mut fields = top.table("region");
    fields.must_have("name");
    let name = fields.value("name", String::new());
    let port = fields.within("port", 7443, 1..=u16::MAX);
    let dns_port = fields.within("dns-port", 5300, 1..=u16::MAX);
    fields.require(
        port != dns_port,
        "dns-port",
        format!("{dns_port} is `port` too"),
        "take another port for one of them",
    );
    let latency = fields.within("latency", Span::from_micros(250), ANY_SPAN);
    let dns_service = fields.on("dns-service").and_then(|node| {
        let known = String::read(node).and_then(|name| match outline.contains_key(name.as_str()) {
            true => Ok(name),
            false => Err(Fault::unknown("service", &name, outline.keys().copied())),
        });
        known.map_err(|fault| fields.fault("dns-service", fault)).ok()
    });
    fields.reading().note(fields.path_of("dns-service"), &dns_service.as_deref().unwrap_or("none"));
    fields.finish();
    Region { name, port, latency, dns_service, dns_port }
}

pub(super) fn record(top: &mut Fields<'_, '_>) -> Record {
    let mut fields = top.table("record");
    let record = Record {
        sample: fields.within("sample", Span::from_secs(10), RECORDING),
        histograms: fields.within("histograms", Span::from_mins(1), RECORDING),
        window_share: fields.within("window-share", 0.05, SHARE),
        window_quiet: fields.within("window-quiet", Span::from_mins(5), Span::ZERO..=*RECORDING.end()),
    };
    fields.finish();
    record
}

/// An edge's `endpoint`; somebody must answer for it.
pub(super) fn endpoint(fields: &mut Fields<'_, '_>, has_dns: bool) -> Option<String> {
    let node = fields.on("endpoint");
    let name = node.and_then(|node| {
        let read = String::read(node).and_then(|name| check_dns_name(&name).map(|()| name));
        read.map_err(|fault| fields.fault("endpoint", fault)).ok()
    });
    fields.require(
        name.is_none() || has_dns,
        "endpoint",
        "nobody answers DNS in this region",
        "name the service that does in region.dns-service",
    );
    fields.reading().note(fields.path_of("endpoint"), &name.as_deref().unwrap_or("none"));
    name
}
