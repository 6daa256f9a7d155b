//! One target and the verdict on it. No waiting in here.

use eastfall_proto::nlb::TargetState;
use eastfall_topology::{Moment, Span};

use super::HealthParams;

/// What the checks have found of a target or node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether enough checks in a row have said so; none before the first verdict.
    passes: Option<bool>,
    /// Checks in a row with the same result as the last one.
    streak: u32,
    last: Option<bool>,
    last_good: Moment,
    /// The last good check is too long ago, as far as was noticed.
    late: bool,
}

impl Verdict {
    /// Of something new: nothing is known.
    pub(super) fn unknown() -> Verdict {
        Verdict { passes: None, streak: 0, last: None, last_good: Moment::START, late: false }
    }

    /// Of something that was last known to pass or not.
    pub(super) fn known(passes: bool, now: Moment) -> Verdict {
        Verdict { passes: Some(passes), last: Some(passes), last_good: now, ..Verdict::unknown() }
    }

    /// A check has ended; true if that changes the verdict.
    pub(super) fn checked(&mut self, good: bool, at: Moment, settings: &HealthParams) -> bool {
        let before = self.state();
        self.streak = if self.last == Some(good) { self.streak.saturating_add(1) } else { 1 };
        self.last = Some(good);
        let needed = if good { settings.healthy_threshold } else { settings.unhealthy_threshold };
        if self.streak >= needed {
            self.passes = Some(good);
        }
        if good {
            self.last_good = at;
            self.late = false;
        }
        self.state() != before
    }

    /// Notices when the last good check of what passes is too long ago; true if that changes the verdict.
    pub(super) fn look_at_the_clock(&mut self, now: Moment, stale_after: Span) -> bool {
        let before = self.state();
        self.late = self.passes == Some(true) && now.since(self.last_good) > stale_after;
        self.state() != before
    }

    /// The last good check is too long ago.
    pub(super) fn is_late(&self) -> bool {
        self.late
    }

    /// Whether enough checks in a row have found it sound, for what lies on disk; none before the first verdict.
    pub(super) fn passes(&self) -> Option<bool> {
        self.passes
    }

    /// The verdict.
    pub(super) fn state(&self) -> TargetState {
        match self.passes {
            None => TargetState::Initial,
            Some(true) if !self.late => TargetState::Healthy,
            Some(_) => TargetState::Unhealthy,
        }
    }

    /// The verdict as others are told it: who serves is healthy.
    pub(super) fn told(&self, failover: bool) -> TargetState {
        match self.state() {
            TargetState::Initial => TargetState::Initial,
            _ if self.serves(failover) => TargetState::Healthy,
            _ => TargetState::Unhealthy,
        }
    }

    /// Whether it gets connections. Without automatic failover neither lateness nor a history of failures takes out
    /// what has answered its last check.
    pub(super) fn serves(&self, failover: bool) -> bool {
        match failover {
            true => self.state() == TargetState::Healthy,
            false => self.passes.is_some() && self.last == Some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::START + Span::from_secs(seconds)
    }

    fn settings() -> HealthParams {
        let text = "[region]\nname = \"r\"\n[service.h]\nkind = \"nlb-health\"\nhealthy-threshold = 2\n\
                    unhealthy-threshold = 2";
        let source = eastfall_topology::Source { file: "test.toml", text };
        let topology = eastfall_topology::Topology::load(source, &[], &[HealthParams::SCHEMA], 1.0);
        HealthParams::from(&topology.unwrap_or_else(|problems| panic!("{problems}")).services["h"].params)
    }

    #[test]
    fn a_verdict_needs_several_checks_in_a_row() {
        let (mut verdict, settings) = (Verdict::unknown(), settings());
        let results = [true, false, true, true, false, true, false, false];
        let changes: Vec<bool> = results
            .iter()
            .enumerate()
            .map(|(n, good)| verdict.checked(*good, at(n as u64), &settings))
            .collect();
        assert_eq!(
            changes,
            [false, false, false, true, false, false, false, true],
            "healthy, then unhealthy"
        );
    }

    #[test]
    fn a_late_check_makes_a_sound_target_unhealthy_until_it_is_made() {
        let (mut verdict, settings) = (Verdict::known(true, at(0)), settings());
        assert!(!verdict.look_at_the_clock(at(60), Span::from_secs(60)), "just in time");
        assert!(verdict.look_at_the_clock(at(61), Span::from_secs(60)), "too late");
        assert_eq!(verdict.state(), TargetState::Unhealthy);
        assert!(verdict.serves(false), "without failover it serves all the same");
        assert_eq!(verdict.told(true), TargetState::Unhealthy, "and others are told so");
        assert_eq!(verdict.told(false), TargetState::Healthy, "and others are told so");
        assert!(verdict.checked(true, at(70), &settings), "one good check is enough");
        assert_eq!(verdict.state(), TargetState::Healthy);
    }
}
