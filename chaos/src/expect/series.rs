//! The series of a run, as predicates see them.

use eastfall_fabric::Moment;
use eastfall_fabric::record::Series;

/// Sampled values of a run. All series share the sampling moments.
pub trait SeriesSource {
    /// The sampling moments, ascending.
    fn times(&self) -> &[Moment];

    /// A series' values, one a moment; no number (NaN) where it had none yet.
    fn values(&self, name: &str) -> Option<&[f64]>;

    /// The name of every series.
    fn names(&self) -> Vec<&str>;
}

impl SeriesSource for Series {
    fn times(&self) -> &[Moment] {
        Series::times(self)
    }
    fn values(&self, name: &str) -> Option<&[f64]> {
        Series::values(self, name)
    }
    fn names(&self) -> Vec<&str> {
        Series::names(self).collect()
    }
}

/// Whether the run has the systems that a series would belong to: only then is its absence a mistake.
///
/// `a->b.failed` belongs to both `a` and `b`, `system.sts.requests` to the system `sts`, `dwfm.queue` to `dwfm`.
pub(super) fn has_system_of(names: &[&str], series: &str) -> bool {
    let has = |service: &str| {
        names.iter().any(|name| {
            let (caller, rest) = name.split_once("->").unwrap_or(("", name));
            caller == service || rest.split('.').next() == Some(service)
        })
    };
    if let Some(rest) = series.strip_prefix("system.") {
        let prefix = format!("system.{}.", rest.split('.').next().unwrap_or_default());
        return names.iter().any(|name| name.starts_with(&prefix));
    }
    let (caller, rest) = series.split_once("->").unwrap_or(("", series));
    let callee = rest.split('.').next().unwrap_or_default();
    (caller.is_empty() || has(caller)) && has(callee)
}
