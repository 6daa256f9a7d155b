//! The model of a running fleet, and what is new of it.
//!
//! Pages ask for what has come since they asked last, several times a second. Unlike a stream that is pushed, this needs
//! nothing kept for each of them: one that was asleep, or on a slow link, catches up by itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eastfall_fabric::record::{Results, Tick};
use eastfall_topology::time::{Moment, Span};
use indexmap::IndexMap;
use serde::Serialize;

use super::columns::Since;
use super::events::Shown;
use super::heat::HeatRow;
use super::model::{Document, MilestoneOf, Model, SystemOf};
use super::policies::Version;
use crate::control::endpoint::Board;
use crate::session::Session;

/// Milestones are looked for so often, in incident time: it takes a look at the whole run so far.
const LOOK: Span = Span::from_mins(1);

/// How many of each growing part a page has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) rows: usize,
    pub(crate) events: usize,
    pub(crate) latencies: usize,
    pub(crate) policies: usize,
}

/// The model of a running fleet.
pub(crate) struct LivePage {
    board: Arc<Board>,
    session: Session,
    kept: Mutex<Kept>,
}

struct Kept {
    model: Model,
    looked: Moment,
}

/// What is new.
#[derive(Serialize)]
struct News<'a> {
    now: f64,
    series: Since<'a>,
    events: &'a [Shown],
    latency: &'a [(String, HeatRow)],
    policies: &'a [Version],
    systems: &'a [SystemOf],
    windows: &'a IndexMap<String, Vec<(f64, f64)>>,
    milestones: &'a [MilestoneOf],
    instances: IndexMap<String, String>,
}

impl LivePage {
    /// Nothing yet.
    pub(crate) fn new(session: &Session, board: Arc<Board>) -> Arc<LivePage> {
        let model = Model::new(session, "live");
        let kept = Kept { model, looked: Moment::START };
        Arc::new(LivePage { board, session: session.clone(), kept: Mutex::new(kept) })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up what has been recorded.
    pub(crate) fn tick(&self, results: &Results, tick: &Tick) {
        let mut kept = self.kept();
        kept.model.tick(results, tick);
        let now = results.series().times().last().copied().unwrap_or_default();
        if now >= kept.looked + LOOK {
            kept.looked = now;
            kept.model.look(&self.session, results.series(), now);
        }
    }

    /// Everything.
    pub(crate) fn document(&self) -> serde_json::Result<Vec<u8>> {
        let kept = self.kept();
        let runs = std::slice::from_ref(&kept.model);
        let instances = self.board.standings();
        serde_json::to_vec(&Document { live: true, runs, comparison: None, instances })
    }

    /// What a page does not know yet.
    pub(crate) fn news(&self, known: Known) -> serde_json::Result<Vec<u8>> {
        let kept = self.kept();
        let model = &kept.model;
        let (events, policies) = (&model.events.shown, model.policies.versions());
        serde_json::to_vec(&News {
            now: self.board.now().since_start().as_secs_f64(),
            series: model.series.since(known.rows),
            events: &events[known.events.min(events.len())..],
            latency: model.latency.since(known.latencies),
            policies: &policies[known.policies.min(policies.len())..],
            systems: &model.systems,
            windows: &model.windows,
            milestones: &model.milestones,
            instances: self.board.standings(),
        })
    }
}
