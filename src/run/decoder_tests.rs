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
        kept_bytes: 0,
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
    assert_eq!(first("{\"protocol\":2}\n"), Ok(()));
    assert_eq!(first("{\"protocol\":1}\n"), Err(SandboxError::Version(1)));
    assert_eq!(
        SandboxError::Version(1).to_string(),
        "the sandbox broke its protocol: it is of another build, as it speaks version 1 and not 2"
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
        "{\"display\":{}}",
        "{\"display\":[]}",
        "{\"display\":\"text/html\"}",
        "{\"display\":{\"text/plain\":\"x\"}}",
        "{\"display\":{\"application/javascript\":\"x\"}}",
        "{\"display\":{\"text/html\":\"x\",\"image/png\":\"x\"}}",
        "{\"display\":{\"text/html\":\"x\",\"text/html\":\"y\"}}",
        "{\"display\":{\"TEXT/HTML\":\"x\"}}",
        "{\"display\":{\"text/html\":[\"x\"]}}",
        "{\"display\":{\"__proto__\":\"x\"}}",
        "{\"display\":{\"text/html\":\"\\ud800\"}}",
        "{\"display\":{\"application/vnd.plotly.v1+json\":{}}}",
        "{\"display\":{\"application/vnd.plotly.v1+json\":\"[]\"}}",
        "{\"display\":{\"application/vnd.plotly.v1+json\":\"{} {}\"}}",
        "{\"display\":{\"application/vnd.plotly.v1+json\":\"{\\\"a\\\": NaN}\"}}",
        "{\"display\":{\"application/vnd.vegalite.v4+json\":\"{}\"}}",
        r#"{"display":{"application/vnd.plotly.v1+json":"{\"$serde_json::private::Number\":\"x\"}"}}"#,
        r#"{"display":{"application/vnd.plotly.v1+json":"{\"a\":{\"$serde_json::private::Number\":\"x\"}}"}}"#,
        r#"{"display":{"application/vnd.plotly.v1+json":"{\"$serde_json::private::Number\":\"1\"}"}}"#,
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
    let file = |path: &str, change, size, content| ChangedFile { path: path.into(), change, size, content, uri: None };
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
    let (_, outcome) = decode(&[&"x".repeat((6 * 500 + FRAME_OVERHEAD).max(MAX_DISPLAYED) + 1)]);
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

    /// The same with text that is closer to real frames.
    #[test]
    fn any_text_is_decoded_or_refused(frame in r#"\{"(protocol|stdout|stderr|end|call|cancel|image|display|file|part|omitted)":([0-9]{1,21}|\["[a-z]*"(,"[a-z]*")*\]|\{"(status|id)":(1|"success"|"run-error"),"(json|text|error|name|text/html)":"[\[\]{}0-9a\\"]{0,9}"\})\}\n"#) {
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
fn images_are_what_they_say_few_and_small() {
    let limits = Limits { images: 2, image_bytes: 20, ..Limits::default() };
    let with = |images: &[&[u8]]| {
        let (mut decoder, mut calls) = decoder(limits, |_: &Line| ());
        let frames: String =
            images.iter().map(|bytes| json!({ "image": BASE64.encode(bytes) }).to_string() + "\n").collect();
        decoder.push((frames + "{\"end\":{\"status\":\"success\"}}\n").as_bytes(), &mut calls)
    };
    let png = b"\x89PNG\r\n\x1a\n 1";
    let jpeg = b"\xff\xd8\xff\xe0";
    let outcome = with(&[png, jpeg]).unwrap().unwrap();
    let expected = [("image/png", &png[..]), ("image/jpeg", &jpeg[..])];
    assert_eq!(outcome.images, expected.map(|(media_type, bytes)| Image { base64: BASE64.encode(bytes), media_type }));
    assert!(with(&[png, png, png]).is_err(), "too many");
    // The limit is 20 bytes: these are as many, and one more.
    assert!(with(&[b"\x89PNG\r\n\x1a\n of 20 bytes"]).is_ok());
    assert!(with(&[b"\x89PNG\r\n\x1a\n of 21 bytes."]).is_err());
    assert!(with(&[b"GIF89a"]).is_err());
    let (_, outcome) = decode(&["{\"image\":\"=\"}\n"]);
    assert!(matches!(outcome, Err(SandboxError::Protocol(_))));
}

/// Decodes frames of displays, and returns what was displayed.
fn displayed(frames: impl IntoIterator<Item = Value>) -> Result<Displayed, SandboxError> {
    let (mut decoder, mut calls) = decoder(Limits::default(), |_: &Line| ());
    let frames: String = frames.into_iter().map(|shown| json!({ "display": shown }).to_string() + "\n").collect();
    let outcome = decoder.push((frames + "{\"end\":{\"status\":\"success\"}}\n").as_bytes(), &mut calls)?;
    Ok(outcome.unwrap().displayed)
}

#[test]
fn bundles_have_texts_and_json() {
    let plotly = "application/vnd.plotly.v1+json";
    let shown = displayed([
        json!({ "text/html": "<script>", "text/markdown": "| a |" }),
        json!({ plotly: "{\"data\": [1.0]}", "text/latex": "$x$" }),
    ]);
    let shown = shown.unwrap();
    let expected = [
        json!({ "text/html": "<script>", "text/markdown": "| a |" }),
        json!({ "text/latex": "$x$", plotly: { "data": [1.0] } }),
    ];
    assert_eq!(json!(shown.bundles), json!(expected));
    assert_eq!(shown.omitted, 0);
    assert_eq!(shown.readable().collect::<Vec<_>>(), ["| a |", "$x$"]);
}

#[test]
fn bundles_are_few_and_small() {
    use crate::limits::{MAX_DISPLAY, MAX_DISPLAY_DEPTH, MAX_DISPLAY_ITEMS, MAX_DISPLAYS};
    let html = |size: usize| json!({ "text/html": "x".repeat(size) });
    let many = |count: usize, one: Value| displayed(vec![one; count]);
    assert_eq!(many(MAX_DISPLAYS, html(1)).unwrap().bundles.len(), MAX_DISPLAYS);
    const MORE: SandboxError = SandboxError::Protocol("more to display than it may send");
    assert_eq!(many(MAX_DISPLAYS + 1, html(1)).unwrap_err(), MORE);
    assert!(many(1, html(MAX_DISPLAY)).is_ok());
    assert_eq!(many(1, html(MAX_DISPLAY + 1)).unwrap_err(), MORE);
    assert_eq!(many(MAX_DISPLAYED / MAX_DISPLAY, html(MAX_DISPLAY)).unwrap_err(), MORE, "as frames");
    // Escapes make a frame longer than its content.
    assert_eq!(many(1, json!({ "text/html": "\u{1}".repeat(MAX_DISPLAYED / 6) })).unwrap_err(), MORE);
    // Isolates do not count depth and values.
    let plotly = |text: String| json!({ "application/vnd.plotly.v1+json": text });
    let deep = |depth: usize| plotly(format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1)));
    assert_eq!(many(1, deep(MAX_DISPLAY_DEPTH)).unwrap().omitted, 0);
    assert_eq!(many(1, deep(MAX_DISPLAY_DEPTH + 1)).unwrap().omitted, 1);
    let wide = plotly(format!("{{\"a\":[{}0]}}", "0,".repeat(MAX_DISPLAY_ITEMS / 2)));
    let shown = many(3, wide).unwrap();
    assert_eq!((shown.omitted, shown.bundles.len()), (2, 3));
}

#[test]
fn nothing_is_displayed_after_the_end() {
    let (_, outcome) = decode(&["{\"end\":{\"status\":\"success\"}}\n{\"display\":{\"text/html\":\"x\"}}\n"]);
    assert!(outcome.unwrap().unwrap().displayed.is_empty());
}

#[test]
fn a_file_may_be_as_large_as_its_limit() {
    let file =
        json!({ "file": { "path": "a", "change": "created", "size": 10, "base64": BASE64.encode("0123456789") } });
    let (_, outcome) = decode(&[&format!("{file}\n{{\"end\":{{\"status\":\"success\"}}}}\n")]);
    assert_eq!(outcome.unwrap().unwrap().changes.files.len(), 1);
}

/// Decodes frames of a run that may send `kept_bytes`. Returns the parts, and how the run ended.
fn parts_of(kept_bytes: usize, frames: &[Value]) -> (Vec<Part>, Result<Option<Outcome>, SandboxError>) {
    let limits = Limits { kept_bytes, embed_bytes: 10, ..Limits::default() };
    let (mut decoder, mut calls) = decoder(limits, |_: &Line| ());
    let mut parts = Vec::new();
    for frame in frames {
        let pushed = decoder.push(format!("{frame}\n").as_bytes(), &mut calls);
        parts.extend(decoder.take_parts());
        if !matches!(pushed, Ok(None)) {
            return (parts, pushed);
        }
    }
    (parts, Ok(None))
}

#[test]
fn a_large_file_comes_in_parts() {
    let size = PART_BYTES + 5;
    let file = |path: &str| json!({ "file": { "path": path, "change": "created", "size": size } });
    let part = |bytes: &[u8]| json!({ "part": BASE64.encode(bytes) });
    let (first, rest) = (vec![7; PART_BYTES], b"hello");
    let end = json!({ "end": { "status": "success" } });
    let frames = [file("a"), part(&first), part(rest), file("b"), end.clone()];
    let (parts, outcome) = parts_of(size, &frames);
    let of = |at, bytes: &[u8]| Part { path: "a".into(), size: size as u64, at, bytes: bytes.to_vec() };
    assert!(parts == [of(0, &first), of(PART_BYTES as u64, rest)], "{}", parts.len());
    let files = outcome.unwrap().unwrap().changes.files;
    assert_eq!(
        files.iter().map(|file| (&*file.path, file.content.is_none())).collect::<Vec<_>>(),
        [("a", true), ("b", true)]
    );

    let small = json!({ "file": { "path": "s", "change": "created", "size": 1, "base64": "eA==" } });
    let deleted = json!({ "file": { "path": "s", "change": "deleted", "size": 5 } });
    let line = json!({ "stdout": ["."] });
    let refused: [(&str, usize, Vec<Value>); 14] = [
        ("more of files than it may send", size - 1, vec![file("a"), part(&first)]),
        ("more of files than it may send", 0, vec![file("a"), part(&first)]),
        (
            "more of files than it may send",
            2 * size - 1,
            vec![file("a"), part(&first), part(rest), file("b"), part(&first)],
        ),
        ("a part of no file", size, vec![part(&first)]),
        ("a part of no file", size, vec![small, part(b"x")]),
        ("a part of no file", size, vec![deleted, part(b"hello")]),
        ("a part of no file", size, vec![file("a"), line.clone(), part(&first)]),
        ("a part of no file", size, vec![file("a"), part(&first), part(rest), part(rest)]),
        ("a file of which a part is missing", size, vec![file("a"), part(&first), end]),
        ("a file of which a part is missing", size, vec![file("a"), part(&first), line]),
        ("a part that is not as long as it must be", size, vec![file("a"), part(b"hello")]),
        ("a part that is not as long as it must be", size, vec![file("a"), part(&first), part(b"hello!")]),
        ("a part that is not as long as it must be", size, vec![file("a"), part(b"")]),
        ("a part that is not base64", size, vec![file("a"), json!({ "part": "?" })]),
    ];
    for (why, kept_bytes, frames) in refused {
        let (parts, outcome) = parts_of(kept_bytes, &frames);
        assert_eq!(outcome, Err(SandboxError::Protocol(why)), "{} frames", frames.len());
        assert!(parts.iter().map(|part| part.bytes.len()).sum::<usize>() <= kept_bytes);
    }
    for bad in [json!({ "part": 1 }), json!({ "part": { "base64": "" } }), json!({ "part": "", "end": {} })] {
        let (_, outcome) = parts_of(size, &[file("a"), bad]);
        assert_eq!(outcome, Err(BAD));
    }
    // A frame that is longer than any part is not even held.
    let (_, outcome) = parts_of(size, &[file("a"), part(&vec![7; 2 * PART_BYTES])]);
    assert!(matches!(
        outcome,
        Err(SandboxError::Protocol("a frame that is too long" | "a part that is not as long as it must be"))
    ));
}
