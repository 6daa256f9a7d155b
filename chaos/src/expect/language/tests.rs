//! The language of predicates: what it reads, what it refuses, and that what it writes is read back the same.

use proptest::prelude::*;

use super::*;

#[test]
fn predicates_are_written_as_people_say_them() {
    let texts = [
        "first time after dns.restored that leases.held / droplets.count >= 0.999 for 1m",
        "last time that customers-web->dynamodb.failed > 0",
        "first time that route53.addresses.dynamodb.us-east-1.amazonaws.com = 0",
        "first time that rate(dwfm.done) > max(rate(dwfm.done)) / 2 and not mean(dwfm.queue, 5m) >= 1000",
        "first time that (a.b + c.d) * -2 - 1 != abs(change(e.f)) or `odd name!` < 1h30m for 1m30s",
    ];
    for text in texts {
        let when: When = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(when.to_string(), text, "written back as it was read");
    }
}

#[test]
fn a_percentage_is_a_number() {
    assert_eq!("5%".parse(), Ok(Expression::Number(0.05)));
}

#[test]
fn operators_bind_as_in_arithmetic() {
    let cases = [
        ("a + b * c > 1 and d = 2 or e = 3", "(((a + (b * c)) > 1) and (d = 2)) or (e = 3)"),
        ("a - b - c = 0", "((a - b) - c) = 0"),
        ("not a = 1 and b = 2", "(not (a = 1)) and (b = 2)"),
        ("-a * b = 1", "((-a) * b) = 1"),
    ];
    for (text, whole) in cases {
        assert_eq!(text.parse::<Expression>(), whole.parse::<Expression>(), "{text}");
    }
}

#[test]
fn a_hyphen_within_a_name_is_part_of_it() {
    let name = |text: &str| text.parse::<Expression>().map(|expression| expression.to_string());
    assert_eq!("us-east-1.x".parse(), Ok(Expression::Series("us-east-1.x".into())));
    assert_eq!("a-b->c-d.failed".parse(), Ok(Expression::Series("a-b->c-d.failed".into())));
    assert_eq!(name("a - b"), Ok("a - b".into()), "with spaces it is a minus sign");
    assert_eq!(name("a -b"), Ok("a - b".into()), "one before it is enough");
}

#[test]
fn errors_say_where_what_and_the_cure() {
    let cases = [
        ("frist time that a > 0", 1, "`frist` is not expected here; write `first time that"),
        ("first time after that a > 0", 18, "`that` is not expected here; name a step"),
        ("first time that a", 17, "`a` is a number, and a truth is wanted; compare it"),
        ("first time that a > 0 for 5", 27, "`5` is not expected here; write a length of time"),
        ("first time that a > (b > c)", 21, "`b > c` is a truth, and a number is wanted"),
        ("first time that (a > b) > c", 17, "is a truth, and a number is wanted"),
        ("first time that a and b > 0", 17, "`a` is a number, and a truth is wanted"),
        ("first time that a > 0 b", 23, "`b` is not expected here; join with"),
        ("first time that raet(a) > 0", 17, "`raet` is no function; did you mean `rate`?"),
        ("first time that rate(a, 5m) > 0", 23, "takes one expression and no window"),
        ("first time that max(a, 5) > 0", 24, "write a length of time"),
        ("first time that a > 5 parsecs", 23, "`parsecs` is not expected here"),
        ("first time that a > 5x", 21, "`5x` is no number and no length of time"),
        ("first time that `a > 0", 17, "the backquote is not closed"),
        ("first time that a > 0 & b > 0", 23, "`&` means nothing here"),
        ("first time that a > (0", 23, "the end is not expected here; write `)`"),
        ("first time that not and", 21, "`and` is not expected here; write a series"),
    ];
    for (text, letter, message) in cases {
        let error = text.parse::<When>().expect_err(text);
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert_eq!(error.at + 1, letter, "{text}: {error}");
    }
}

#[test]
fn endless_nesting_is_refused_and_does_not_exhaust_the_stack() {
    for open in ["(", "-", "not ", "max("] {
        let error =
            format!("first time that {}", open.repeat(100_000)).parse::<When>().expect_err("too deep");
        assert!(error.to_string().contains("nest it less deeply"), "{error}");
    }
}

fn number() -> impl Strategy<Value = Expression> {
    let leaf = prop_oneof![
        (0.0..1e12).prop_map(Expression::Number),
        (0_u64..1_000_000_000_000_000).prop_map(|nanos| Expression::Span(Span::from_nanos(nanos))),
        "[a-z][a-z0-9_]{0,5}(-[a-z0-9]{1,3}){0,2}(->[a-z]{1,4})?(\\.[a-z0-9]{1,4}){0,2}"
            .prop_map(Expression::Series),
        "[^`\\p{Cc}]{0,6}".prop_map(Expression::Series),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        let sign = prop::sample::select(vec![
            Operator::Add,
            Operator::Subtract,
            Operator::Multiply,
            Operator::Divide,
        ]);
        let functions =
            Function::WORDS.iter().filter_map(|word| Function::from_word(word)).collect::<Vec<_>>();
        let window = prop::option::of((1_u64..1_000_000_000_000).prop_map(Span::from_nanos));
        prop_oneof![
            inner.clone().prop_map(|inner| Expression::Negative(Box::new(inner))),
            (sign, pair).prop_map(|(sign, (left, right))| Expression::Binary(
                sign,
                Box::new(left),
                Box::new(right)
            )),
            (prop::sample::select(functions), inner, window).prop_map(|(function, inner, window)| {
                Expression::Call(function, Box::new(inner), window.filter(|_| function.takes_window()))
            }),
        ]
    })
}

fn truth() -> impl Strategy<Value = Expression> {
    let comparisons: Vec<Operator> = Operator::SIGNS
        .iter()
        .map(|(_, operator)| *operator)
        .filter(|operator| operator.binding() == Binding::Comparison)
        .collect();
    let leaf = (prop::sample::select(comparisons), number(), number())
        .prop_map(|(operator, left, right)| Expression::Binary(operator, Box::new(left), Box::new(right)));
    leaf.prop_recursive(3, 12, 2, |inner| {
        let sign = prop::sample::select(vec![Operator::And, Operator::Or]);
        prop_oneof![
            inner.clone().prop_map(|inner| Expression::Not(Box::new(inner))),
            (sign, inner.clone(), inner).prop_map(|(sign, left, right)| Expression::Binary(
                sign,
                Box::new(left),
                Box::new(right)
            )),
        ]
    })
}

proptest! {
    #[test]
    fn a_predicate_is_read_back_as_it_was_written(
        which in prop::sample::select(vec![Which::First, Which::Last]),
        after in prop::option::of("[a-z]{1,5}\\.[a-z]{4,6}"),
        expression in truth(),
        lasting in prop::option::of((0_u64..1_000_000_000_000).prop_map(Span::from_nanos)),
    ) {
        let when = When { which, after, condition: Condition { expression, lasting } };
        prop_assert_eq!(when.to_string().parse::<When>(), Ok(when.clone()), "{}", when);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z0-9 .<>=!()+*/,%`é-]{0,40}") {
        for text in [text.clone(), format!("first time that {text}")] {
            if let Err(error) = text.parse::<When>() {
                prop_assert!(text.is_char_boundary(error.at), "{} lies outside", error.at);
            }
        }
    }
}
