//! Predicates over made-up series, also held against a naive evaluation.

use proptest::prelude::*;

use super::*;

/// A run of some series, sampled every ten seconds from the start.
#[derive(Debug)]
pub(in crate::expect) struct Run {
    times: Vec<Moment>,
    series: Vec<(String, Vec<f64>)>,
}

impl Run {
    pub(in crate::expect) fn new(series: &[(&str, &[f64])]) -> Run {
        let samples = series.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        let times = (1..=samples as u64).map(|tick| Moment::START + Span::from_secs(10 * tick)).collect();
        let series = series.iter().map(|(name, values)| ((*name).to_owned(), values.to_vec())).collect();
        Run { times, series }
    }
}

impl SeriesSource for Run {
    fn times(&self) -> &[Moment] {
        &self.times
    }
    fn values(&self, name: &str) -> Option<&[f64]> {
        self.series.iter().find(|(other, _)| other == name).map(|(_, values)| values.as_slice())
    }
    fn names(&self) -> Vec<&str> {
        self.series.iter().map(|(name, _)| name.as_str()).collect()
    }
}

const NONE: f64 = f64::NAN;

fn evaluated(text: &str, run: &Run) -> Vec<f64> {
    values(&text.parse().unwrap_or_else(|error| panic!("{text}: {error}")), run)
}

fn found(text: &str, run: &Run) -> Option<u64> {
    let when = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    let known = BTreeMap::from([("mended".to_owned(), Moment::START + Span::from_secs(35))]);
    find(&when, run, &known).map(|moment| moment.as_nanos() / 1_000_000_000)
}

#[test]
fn functions_do_what_they_say() {
    let run = Run::new(&[("a", &[10.0, 30.0, 20.0, 60.0])]);
    let cases: [(&str, [f64; 4]); 9] = [
        ("rate(a)", [1.0, 3.0, 2.0, 6.0]),
        ("abs(10 - a)", [0.0, 20.0, 10.0, 50.0]),
        ("max(a)", [60.0; 4]),
        ("min(a)", [10.0; 4]),
        ("mean(a)", [30.0; 4]),
        ("sum(a)", [120.0; 4]),
        ("sum(a, 20s)", [10.0, 40.0, 50.0, 80.0]),
        ("mean(a, 20s)", [10.0, 20.0, 25.0, 40.0]),
        ("a / 1m", [10.0 / 60.0, 0.5, 20.0 / 60.0, 1.0]),
    ];
    for (text, expected) in cases {
        assert_eq!(evaluated(text, &run), expected, "{text}");
    }
    let change = evaluated("change(a)", &run);
    assert!(change[0].is_nan() && change[1..] == [20.0, -10.0, 40.0], "{change:?}");
}

#[test]
fn what_was_not_measured_proves_nothing() {
    let run = Run::new(&[("a", &[NONE, 1.0, NONE])]);
    for text in ["a > 0", "a <= 0", "a = a", "a != 7", "a + 1 > 0"] {
        let truths = evaluated(text, &run);
        assert_eq!((truths[0], truths[2]), (0.0, 0.0), "{text}");
    }
    assert_eq!(evaluated("sum(a)", &run), [1.0; 3], "what was measured counts");
    assert_eq!(evaluated("sum(b) > 0", &run), [0.0; 3], "a series that isn't there");
}

#[test]
fn first_is_the_beginning_of_a_period_that_lasts() {
    let run = Run::new(&[("a", &[0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0])]);
    assert_eq!(found("first time that a > 0", &run), Some(20));
    assert_eq!(found("first time that a > 0 for 20s", &run), Some(50), "the first one is too short");
    assert_eq!(found("first time that a > 0 for 21s", &run), None, "none lasts so long");
    assert_eq!(found("first time that a > 1", &run), None, "it never holds");
}

#[test]
fn last_is_the_end_of_a_period_and_none_while_it_goes_on() {
    let run = Run::new(&[("a", &[1.0, 1.0, 1.0, 0.0, 1.0, 0.0])]);
    assert_eq!(found("last time that a > 0", &run), Some(50));
    assert_eq!(found("last time that a > 0 for 20s", &run), Some(30));
    let run = Run::new(&[("a", &[1.0, 0.0, 1.0])]);
    assert_eq!(found("last time that a > 0", &run), None, "it still holds at the end");
}

#[test]
fn after_a_step_only_later_samples_count() {
    let run = Run::new(&[("a", &[1.0, 1.0, 1.0, 1.0, 1.0, 0.0])]);
    assert_eq!(found("first time after mended that a > 0", &run), Some(40), "the step was at 35s");
    assert_eq!(
        found("first time after mended that a > 0 for 20s", &run),
        None,
        "what was before doesn't count"
    );
    assert_eq!(found("first time after never.happened that a > 0", &run), None);
}

/// An expression's value at one sample, straight from the definitions.
fn naive(expression: &Expression, run: &Run, at: usize) -> f64 {
    match expression {
        Expression::Number(number) => *number,
        Expression::Span(span) => span.as_secs_f64(),
        Expression::Series(name) => run.values(name).map_or(NONE, |values| values[at]),
        Expression::Negative(inner) => -naive(inner, run, at),
        Expression::Not(inner) => f64::from(u8::from(naive(inner, run, at) == 0.0)),
        Expression::Binary(operator, left, right) => {
            operator.apply(naive(left, run, at), naive(right, run, at))
        }
        Expression::Call(Function::Absolute, inner, _) => naive(inner, run, at).abs(),
        Expression::Call(Function::Rate, inner, _) => naive(inner, run, at) / 10.0,
        Expression::Call(Function::Change, inner, _) if at == 0 => naive(inner, run, at) * NONE,
        Expression::Call(Function::Change, inner, _) => naive(inner, run, at) - naive(inner, run, at - 1),
        Expression::Call(function, inner, window) => {
            let inside = |other: usize| match window {
                None => true,
                Some(window) => {
                    other == at || (other < at && run.times[at].since(run.times[other]) < *window)
                }
            };
            let all: Vec<f64> = (0..run.times.len())
                .filter(|other| inside(*other))
                .map(|other| naive(inner, run, other))
                .collect();
            let all: Vec<f64> = all.into_iter().filter(|value| !value.is_nan()).collect();
            match function {
                _ if all.is_empty() => NONE,
                Function::Highest => all.iter().copied().fold(all[0], f64::max),
                Function::Lowest => all.iter().copied().fold(all[0], f64::min),
                Function::Mean => all.iter().sum::<f64>() / all.len() as f64,
                _ => all.iter().sum(),
            }
        }
    }
}

/// The same moment by trying every start and end.
fn naive_find(when: &When, run: &Run) -> Option<Moment> {
    let holds = |at: usize| naive(&when.condition.expression, run, at) > 0.0;
    let (count, lasting) = (run.times.len(), when.condition.lasting());
    let lasts = |first: usize, last: usize| {
        (first..=last).all(holds) && run.times[last].since(run.times[first]) >= lasting
    };
    match when.which {
        Which::First => {
            (0..count).find(|first| (*first..count).any(|last| lasts(*first, last))).map(|at| run.times[at])
        }
        Which::Last if count == 0 || holds(count - 1) => None,
        Which::Last => {
            let last = (0..count).rev().find(|last| (0..=*last).any(|first| lasts(first, *last)));
            last.map(|at| run.times[at])
        }
    }
}

/// Series of few different values, so that comparisons go both ways.
fn run() -> impl Strategy<Value = Run> {
    let value = || prop_oneof![Just(0.0), Just(1.0), Just(2.0), Just(NONE)];
    (0_usize..12)
        .prop_flat_map(move |count| {
            (prop::collection::vec(value(), count), prop::collection::vec(value(), count))
        })
        .prop_map(|(a, b)| Run::new(&[("a", &a), ("b", &b)]))
}

fn truth() -> impl Strategy<Value = Expression> {
    let texts = [
        "a > 0",
        "b >= 1",
        "a + b = 2",
        "a - b != 0",
        "not a > b",
        "a > 0 and b > 0",
        "a > 1 or b < 1",
        "max(a, 30s) > 1",
        "min(a) = 0",
        "mean(b, 20s) >= 1",
        "sum(a, 40s) > 2 * b",
        "change(a) > 0",
        "rate(a + b) > 0.1",
        "abs(-a) > 10s / 10",
        "sum(change(a)) > -1",
        "a / b > 0.5",
    ];
    prop::sample::select(texts.to_vec()).prop_map(|text| text.parse().expect(text))
}

proptest! {
    #[test]
    fn evaluation_is_what_the_definitions_say(run in run(), expression in truth()) {
        let expected: Vec<f64> = (0..run.times.len()).map(|at| naive(&expression, &run, at)).collect();
        prop_assert_eq!(values(&expression, &run), expected, "{}", expression);
    }

    #[test]
    fn moments_are_what_trying_every_period_finds(
        run in run(),
        expression in truth(),
        which in prop::sample::select(vec![Which::First, Which::Last]),
        lasting in prop::option::of((0_u64..50).prop_map(Span::from_secs)),
    ) {
        let when = When { which, after: None, condition: Condition { expression, lasting } };
        prop_assert_eq!(find(&when, &run, &BTreeMap::new()), naive_find(&when, &run), "{}", when);
    }
}
