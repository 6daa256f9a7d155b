//! Faults in the operator's words: what is read, what is refused, and that what is written is read back the same.

use super::*;
use proptest::prelude::*;

#[test]
fn faults_are_written_in_the_operators_words() {
    let texts = [
        "latency 15s on dns-enactor-c->route53 for 5m",
        "latency 200ms jitter 50ms on *->dynamodb/GetItem",
        "error unavailable 30% on *->route53",
        "error internal on a->b",
        "black-hole customers-web->dynamodb",
        "slow 2.5x dynamodb-storage-1, dynamodb-storage-2 for 1h30m",
        "dns empty dynamodb.us-east-1.amazonaws.com for 10m",
        "dns wrong-address 127.9.9.9 *.amazonaws.com at customers-web",
        "dns slow 3s a.example",
        "dns stale a.example at web, app",
        "kill dynamodb-storage-2 for 30s",
        "pause dwfm-1",
        "partition dynamodb | dynamodb-storage for 1m",
    ];
    for text in texts {
        let injection: Injection = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(injection.to_string(), text, "written back as it was read");
    }
}

#[test]
fn a_callee_alone_means_all_its_callers() {
    let fault: Fault = "latency 1s on dynamodb".parse().expect("a fault");
    assert_eq!(fault.to_string(), "latency 1s on *->dynamodb");
}

#[test]
fn dns_names_are_lower_case_and_without_final_dot() {
    let fault: Fault = "dns empty DynamoDB.Example.".parse().expect("a fault");
    assert_eq!(fault.to_string(), "dns empty dynamodb.example");
}

#[test]
fn serde_uses_the_words() {
    let fault: Fault = "kill a, b".parse().expect("a fault");
    let json = serde_json::to_string(&fault).expect("json");
    assert_eq!(json, "\"kill a, b\"");
    assert_eq!(serde_json::from_str::<Fault>(&json).expect("a fault"), fault);
    let error = serde_json::from_str::<Fault>("\"kil a\"").expect_err("no fault");
    assert!(error.to_string().contains("did you mean `kill`?"), "{error}");
}

#[test]
fn errors_name_the_word_its_place_the_rule_and_the_cure() {
    let cases = [
        ("latnecy 1s on a->b", 0, "`latnecy` is no fault; did you mean `latency`?"),
        ("latency soon on a->b", 8, "`soon` is not a length of time"),
        ("latency 0s on a->b", 8, "`0s` is no time at all"),
        ("latency 1s jitter 2s on a->b", 18, "jitter 2s is above the latency 1s"),
        ("latency 1s a->b", 11, "`a->b` is not expected here; say where with `on"),
        ("latency 1s on a->b now", 19, "`now` is not expected here"),
        ("latency 1s on a->b/", 14, "`a->b/` is no way"),
        ("error unavailble on a->b", 6, "did you mean `unavailable`?"),
        ("error internal 0% on a->b", 15, "`0%` is no share of calls"),
        ("error internal 101% on a->b", 15, "write above 0% and at most 100%"),
        ("slow 3 a", 5, "`3` is no factor"),
        ("slow 0x a", 5, "above 0"),
        ("dns emtpy a.example", 4, "did you mean `empty`?"),
        ("dns wrong-address localhost a.example", 18, "`localhost` is no IPv4 address"),
        ("dns empty ex!ample", 10, "`ex!ample` is no DNS name"),
        ("kill", 4, "the fault ends too early; say who"),
        ("kill a,", 7, "the fault ends too early"),
        ("partition a b", 12, "part the two sides with a bar"),
        ("", 0, "the fault ends too early; say what breaks"),
    ];
    for (text, at, message) in cases {
        let error = text.parse::<Injection>().expect_err(text);
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert_eq!(error.at, at, "{text}: {error}");
    }
}

fn selector() -> impl Strategy<Value = Selector> {
    "[a-z*][a-z0-9-]{0,8}".prop_map(|text| Selector::new(&text).expect("a selector"))
}

fn span() -> impl Strategy<Value = Span> {
    (1_u64..200_000_000_000_000).prop_map(Span::from_nanos)
}

fn edge() -> impl Strategy<Value = Edge> {
    // A name can end in a hyphen, which an arrow would swallow.
    let end = |text: Selector| Selector::new(&format!("{text}x")).expect("a selector");
    (selector().prop_map(end), selector(), proptest::option::of("[A-Z][a-z*]{1,6}"))
        .prop_map(|(caller, callee, method)| Edge { caller, callee, method })
}

fn fault() -> impl Strategy<Value = Fault> {
    let who = || proptest::collection::vec(selector(), 1..4);
    let dns = prop_oneof![
        Just(DnsFault::Empty),
        Just(DnsFault::NxDomain),
        Just(DnsFault::ServFail),
        Just(DnsFault::TimeOut),
        Just(DnsFault::Stale),
        span().prop_map(DnsFault::Slow),
        any::<u32>().prop_map(|bits| DnsFault::WrongAddress(bits.into())),
    ];
    prop_oneof![
        (span(), 0.0..1.0, edge()).prop_map(|(latency, share, on)| Fault::Latency {
            latency,
            jitter: latency.mul_f64(share),
            on
        }),
        (0..CODES.len(), 1_u32..=100, edge()).prop_map(|(code, percent, on)| Fault::Error {
            code: CODES[code].1,
            share: f64::from(percent) / 100.0,
            on
        }),
        edge().prop_map(|on| Fault::BlackHole { on }),
        (0.001..1000.0, who()).prop_map(|(factor, who)| Fault::Slow { factor, who }),
        (dns, "[a-z*][a-z0-9.-]{0,12}[a-z]", proptest::collection::vec(selector(), 0..3))
            .prop_map(|(fault, name, resolvers)| Fault::Dns { fault, name, resolvers }),
        who().prop_map(|who| Fault::Kill { who }),
        who().prop_map(|who| Fault::Pause { who }),
        (who(), who()).prop_map(|(left, right)| Fault::Partition { left, right }),
    ]
}

proptest! {
    #[test]
    fn a_fault_is_read_back_as_it_was_written(fault in fault(), lasts in proptest::option::of(span())) {
        let injection = Injection { fault, lasts };
        let back: Injection = injection.to_string().parse().expect("it reads its own writing");
        // A share goes through per cent, so it may be off by the last bit.
        prop_assert_eq!(back.to_string(), injection.to_string());
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z0-9 ,|>%*/é-]{0,40}") {
        if let Err(error) = text.parse::<Injection>() {
            prop_assert!(error.at <= text.len(), "{} lies outside", error.at);
        }
    }
}
