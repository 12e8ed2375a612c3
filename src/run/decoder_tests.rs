use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{run::files::Change, virtual_clock::PLATFORM};

/// A decoder to which the isolate has named its version, and the calls of a run that may make none.
fn decoder<F: FnMut(&Line)>(limits: Limits, on_line: F) -> (Decoder<F>, Calls<'static>) {
    let (mut decoder, mut calls) = (Decoder::new(limits, on_line), Calls::new(None, &limits, PLATFORM));
    decoder.push(format!("{{\"protocol\":{VERSION}}}\n").as_bytes(), &mut calls).unwrap();
    (decoder, calls)
}

fn decode(chunks: &[&str]) -> (Vec<Line>, Result<Option<Outcome>, SandboxError>) {
    let limits = Limits {
        output_bytes: 1000,
        output_lines: 50,
        line_bytes: 500,
        value_bytes: 100,
        value_items: 20,
        image_bytes: 100,
        files_told: 3,
        embed_bytes: 10,
        ..Limits::default()
    };
    let mut lines = Vec::new();
    let (mut decoder, mut calls) = decoder(limits, |line: &Line| lines.push(line.clone()));
    let mut outcome = Ok(None);
    for chunk in chunks {
        outcome = decoder.push(chunk.as_bytes(), &mut calls);
        if !matches!(outcome, Ok(None)) {
            break;
        }
    }
    (lines, outcome)
}

#[test]
fn frames_may_come_in_pieces() {
    let (lines, outcome) = decode(&[
        "{\"stdo",
        "ut\":[\"a\",\"\"]}\n{\"stderr\":[\"b\"]}\n{\"end\":",
        "{\"status\":\"success\",\"json\":\"[1.0]\"}}\nwhatever comes after it",
    ]);
    let expected = [(Stream::Stdout, "a"), (Stream::Stdout, ""), (Stream::Stderr, "b")];
    assert_eq!(lines, expected.map(|(stream, text)| Line { stream, text: text.into() }));
    let outcome = outcome.unwrap().unwrap();
    assert_eq!(outcome.output, ["a", "", "b"]);
    assert!(matches!(outcome.ending, Ending::Success(Returned::Json { text, .. }) if text == "[1.0]"));
}

#[test]
fn an_isolate_of_another_version_is_refused() {
    let first = |frame: &str| {
        let mut calls = Calls::new(None, &Limits::default(), PLATFORM);
        Decoder::new(Limits::default(), |_: &Line| {}).push(frame.as_bytes(), &mut calls).map(|_| ())
    };
    assert_eq!(first("{\"protocol\":1}\n"), Ok(()));
    assert_eq!(first("{\"protocol\":2}\n"), Err(SandboxError::Version(2)));
    assert_eq!(
        SandboxError::Version(2).to_string(),
        "the sandbox broke its protocol: it is of another build, as it speaks version 2 and not 1"
    );
    for none in
        ["{\"end\":{\"status\":\"success\"}}\n", "{\"stream\":\"stdout\",\"lines\":[]}\n", "{\"protocol\":\"1\"}\n"]
    {
        assert_eq!(first(none), Err(UNNAMED), "{none}");
    }
}

#[test]
fn what_is_no_frame_is_refused() {
    for bad in [
        "x",
        "[]",
        "{}",
        "\"end\"",
        "{\"stdin\":[]}",
        "{\"stdout\":[1]}",
        "{\"stdout\":\"x\"}",
        "{\"stdout\":[],\"more\":1}",
        "{\"stdout\":[],\"end\":{\"status\":\"success\"}}",
        "{\"stdout\":[],\"stdout\":[]}",
        "{\"stream\":\"stdout\",\"lines\":[]}",
        "{\"protocol\":1}",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
        "{\"__proto__\":{\"end\":{\"status\":\"success\"}}}",
        "{\"end\":{\"status\":\"success\",\"constructor\":{}}}",
        "{\"end\":[\"success\"]}",
        "{\"end\":{\"status\":\"install-error\",\"error\":\"forged\"}}",
        "{\"end\":{\"status\":\"success\",\"error\":\"both\"}}",
        "{\"end\":{\"status\":\"run-error\"}}",
        "{\"end\":{\"status\":\"success\",\"json\":\"[\"}}",
        "{\"end\":{\"status\":\"success\",\"json\":\"1 2\"}}",
        "{\"end\":{\"status\":\"success\",\"text\":\"\\ud800\"}}",
        "{\"file\":{\"path\":\"../a\",\"change\":\"created\",\"size\":1}}",
        "{\"file\":{\"path\":\"/a\",\"change\":\"created\",\"size\":1}}",
        "{\"file\":{\"path\":\"a\\nb\",\"change\":\"created\",\"size\":1}}",
        "{\"file\":{\"path\":\"a\",\"change\":\"stolen\",\"size\":1}}",
        "{\"file\":{\"path\":\"a\",\"change\":\"created\",\"size\":-1}}",
        "{\"file\":{\"path\":\"a\",\"change\":\"created\",\"size\":1.5}}",
        "{\"file\":{\"path\":\"a\",\"change\":\"created\",\"size\":1,\"base64\":\"?\"}}",
        "{\"file\":{\"path\":\"a\",\"change\":\"created\",\"size\":2,\"base64\":\"eA==\"}}",
        "{\"file\":{\"path\":\"a\",\"change\":\"created\",\"size\":11,\"base64\":\"eHh4eHh4eHh4eHg=\"}}",
        "{\"file\":{\"path\":\"a\",\"change\":\"created\",\"size\":1,\"uri\":\"file:///etc\"}}",
        "{\"file\":{\"path\":\"a\",\"change\":\"created\",\"size\":1},\"omitted\":1}",
        "{\"omitted\":-1}",
        "{\"omitted\":\"1\"}",
    ] {
        let (_, outcome) = decode(&[bad, "\n"]);
        assert!(matches!(outcome, Err(SandboxError::Protocol(_))), "{bad}: {outcome:?}");
    }
}

#[test]
fn files_are_told_of_and_those_that_are_sent_are_what_they_say() {
    let (_, outcome) = decode(&[
        "{\"file\":{\"path\":\"a/b.txt\",\"change\":\"created\",\"size\":2,\"base64\":\"w6Q=\"}}\n",
        "{\"file\":{\"path\":\"c.bin\",\"change\":\"changed\",\"size\":1,\"base64\":\"/w==\"}}\n",
        "{\"file\":{\"path\":\"d\",\"change\":\"created\",\"size\":9000000000}}\n",
        "{\"omitted\":7}\n{\"end\":{\"status\":\"success\"}}\n",
    ]);
    let Changes { files, omitted } = outcome.unwrap().unwrap().changes;
    let file = |path: &str, change, size, content| ChangedFile { path: path.into(), change, size, content };
    let expected = [
        file("a/b.txt", Change::Created, 2, Some(Content::Text("ä".into()))),
        file("c.bin", Change::Changed, 1, Some(Content::Base64("/w==".into()))),
        file("d", Change::Created, 9_000_000_000, None),
    ];
    assert_eq!((files.as_slice(), omitted), (&expected[..], 7));
    let one = "{\"file\":{\"path\":\"a\",\"change\":\"deleted\",\"size\":0}}\n";
    let (_, outcome) = decode(&[one, one]);
    assert!(matches!(outcome, Err(SandboxError::Protocol("a file that is none"))), "the same twice");
    let many: Vec<String> = (0..4).map(|n| one.replace("\"a\"", &format!("\"a{n}\""))).collect();
    let (_, outcome) = decode(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(matches!(outcome, Err(SandboxError::Protocol("more files than it may send"))), "{outcome:?}");
}

#[test]
fn deep_values_are_refused_and_less_deep_ones_are_not() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(parse_value(&nested(255), 255).is_some());
    assert!(parse_value(&nested(256), 255).is_none());
}

#[test]
fn sizes_are_bounded() {
    let protocol = |outcome: Result<Option<Outcome>, SandboxError>, what: &str| match outcome {
        Err(SandboxError::Protocol(found)) => assert_eq!(found, what),
        other => panic!("{what}: {other:?}"),
    };
    let (_, outcome) = decode(&[&"x".repeat(6 * 500 + FRAME_OVERHEAD + 1)]);
    protocol(outcome, "a frame that is too long");
    let line = format!("{{\"stdout\":[\"{}\"]}}\n", "x".repeat(3000));
    let (_, outcome) = decode(&vec![line.as_str(); 100]);
    protocol(outcome, "more output than it may send");
    let (_, outcome) = decode(&["{\"stdout\":[\"\",\"\"]}\n"; 27]);
    protocol(outcome, "more output than it may send");
    let (_, outcome) = decode(&[&format!("{{\"stdout\":[{}\"\"]}}\n", "\"\",".repeat(100))]);
    protocol(outcome, "a frame of too many parts");
    let value = "{\"end\":{\"status\":\"success\",\"json\":\"[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0]\"}}\n";
    let (_, outcome) = decode(&[value]);
    let outcome = outcome.unwrap().unwrap();
    assert!(matches!(outcome.ending, Ending::RunError(why) if why.contains("21 values, and at most 20")));
    let value = format!("{{\"end\":{{\"status\":\"success\",\"text\":\"{}\"}}}}\n", "x".repeat(101));
    let (_, outcome) = decode(&[&value]);
    let outcome = outcome.unwrap().unwrap();
    assert!(matches!(outcome.ending, Ending::RunError(why) if why.contains("101 bytes")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever a hostile isolate sends, decoding it ends and does not panic.
    #[test]
    fn any_bytes_are_decoded_or_refused(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..8)) {
        let (mut decoder, mut calls) = decoder(Limits::default(), |_: &Line| {});
        for chunk in chunks {
            if decoder.push(&chunk, &mut calls).is_err() {
                break;
            }
        }
    }

    /// The same, nearer to the truth.
    #[test]
    fn any_text_is_decoded_or_refused(frame in r#"\{"(protocol|stdout|stderr|end|call|cancel|image|file|omitted)":([0-9]{1,21}|\["[a-z]*"(,"[a-z]*")*\]|\{"(status|id)":(1|"success"|"run-error"),"(json|text|error|name)":"[\[\]{}0-9a\\"]{0,9}"\})\}\n"#) {
        let (mut decoder, mut calls) = decoder(Limits::default(), |_: &Line| {});
        let _ = decoder.push(frame.as_bytes(), &mut calls);
    }
}

#[test]
fn constants_that_json_does_not_know_are_quoted() {
    for (text, expected) in [
        ("NaN", json!("NaN")),
        ("[NaN, -Infinity, Infinity, -1]", json!(["NaN", "-Infinity", "Infinity", -1])),
        (r#"{"NaN": "a \" NaN", "b\\": NaN}"#, json!({ "NaN": "a \" NaN", "b\\": "NaN" })),
    ] {
        assert_eq!(parse_value(text, 9), Some(expected), "{text}");
    }
    for bad in ["Nan", "NaNNaN", "\\é", "\"\\", "-Inf", "\\NaN"] {
        assert_eq!(parse_value(bad, 9), None, "{bad}");
    }
}

#[test]
fn images_are_pngs_few_and_small() {
    let limits = Limits { images: 2, image_bytes: 20, ..Limits::default() };
    let with = |images: &[&[u8]]| {
        let (mut decoder, mut calls) = decoder(limits, |_: &Line| ());
        let frames: String =
            images.iter().map(|bytes| json!({ "image": BASE64.encode(bytes) }).to_string() + "\n").collect();
        decoder.push((frames + "{\"end\":{\"status\":\"success\"}}\n").as_bytes(), &mut calls)
    };
    let png = b"\x89PNG\r\n\x1a\n 1";
    let outcome = with(&[png, png]).unwrap().unwrap();
    assert_eq!(outcome.images, [BASE64.encode(png), BASE64.encode(png)].map(|base64| Png { base64 }));
    assert!(with(&[png, png, png]).is_err(), "too many");
    assert!(with(&[b"\x89PNG\r\n\x1a\n and too long"]).is_err());
    assert!(with(&[b"GIF89a"]).is_err());
    let (_, outcome) = decode(&["{\"image\":\"=\"}\n"]);
    assert!(matches!(outcome, Err(SandboxError::Protocol(_))));
}
