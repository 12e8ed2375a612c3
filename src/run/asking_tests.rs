use super::*;

fn answer(request: &FileRequest, frames: &str) -> Result<Option<Answered>, SandboxError> {
    Answer { request, lines: 0, partial: Vec::new() }.push(format!("{{\"protocol\":{VERSION}}}\n{frames}\n").as_bytes())
}

fn read(at: u64, bytes: usize) -> FileRequest {
    FileRequest::Read { path: "a".into(), at, bytes }
}

fn write(last: bool) -> FileRequest {
    FileRequest::Write { upload: "u".into(), path: "a".into(), at: 0, base64: String::new(), last }
}

const LIST: FileRequest = FileRequest::List { after: String::new(), most: 2 };

#[test]
fn answers_are_what_was_asked_for() {
    let part = |bytes: &[u8], size| Answered::Read(Part { bytes: bytes.into(), size, version: 7 });
    let file = |path: &str, size| ListedFile { path: path.into(), size };
    for (request, frame, expected) in [
        (read(0, 10), r#"{"read":{"size":3,"version":7,"base64":"YWJj"}}"#, part(b"abc", 3)),
        (read(1, 1), r#"{"read":{"size":3,"version":7,"base64":"Yg=="}}"#, part(b"b", 3)),
        (read(9, 10), r#"{"read":{"size":3,"version":7,"base64":""}}"#, part(b"", 3)),
        (read(0, 10), r#"{"refused":"missing"}"#, Answered::Refused(Refusal::Missing)),
        (write(false), r#"{"done":"taken"}"#, Answered::Done(Done::Taken)),
        (write(true), r#"{"done":"created"}"#, Answered::Done(Done::Created)),
        (FileRequest::Delete { path: "a".into() }, r#"{"done":"deleted"}"#, Answered::Done(Done::Deleted)),
        (
            LIST,
            r#"{"listed":{"files":[{"path":"a","size":1},{"path":"b/ä","size":0}],"more":true}}"#,
            Answered::Listed(vec![file("a", 1), file("b/ä", 0)], true),
        ),
    ] {
        assert_eq!(answer(&request, frame), Ok(Some(expected)), "{frame}");
    }
}

#[test]
fn what_was_not_asked_for_is_refused() {
    let long = format!(r#"{{"read":{{"size":3,"version":7,"base64":"{}"}}}}"#, "A".repeat(FRAME_OVERHEAD + 100));
    let many = (0..3).map(|n| format!(r#"{{"path":"{n}","size":1}}"#)).collect::<Vec<_>>().join(",");
    let many = format!(r#"{{"listed":{{"files":[{many}],"more":false}}}}"#);
    let nested = format!(r#"{{"read":{}"#, "[".repeat(5000));
    for (request, frame) in [
        // Another kind of answer, or none at all.
        (read(0, 10), r#"{"done":"taken"}"#),
        (read(0, 10), r#"{"listed":{"files":[],"more":false}}"#),
        (read(0, 10), r#"{"end":{"status":"success"}}"#),
        (read(0, 10), r#"{"stdout":["a"]}"#),
        (read(0, 10), r#"{"protocol":2}"#),
        (read(0, 10), r#"{"refused":"because"}"#),
        (write(true), r#"{"done":"taken"}"#),
        (write(false), r#"{"done":"created"}"#),
        (FileRequest::Abandon { upload: "u".into() }, r#"{"done":"deleted"}"#),
        // More or less than there is, or was asked for.
        (read(0, 2), r#"{"read":{"size":3,"version":7,"base64":"YWJj"}}"#),
        (read(0, 10), r#"{"read":{"size":4,"version":7,"base64":"YWJj"}}"#),
        (read(0, 10), r#"{"read":{"size":3,"version":7,"base64":"YWJ"}}"#),
        (read(0, 10), r#"{"read":{"size":-3,"version":7,"base64":""}}"#),
        (read(0, 10), r#"{"read":{"size":3,"version":7,"base64":"YWJj","path":"b"}}"#),
        (read(0, 10), &long),
        (read(0, 10), &nested),
        (LIST, &many),
        (LIST, r#"{"listed":{"files":[{"path":"../a","size":1}],"more":false}}"#),
        (LIST, r#"{"listed":{"files":[{"path":"a","size":1},{"path":"a","size":1}],"more":false}}"#),
        (LIST, r#"{"listed":{"files":[],"more":true}}"#),
    ] {
        let found = answer(&request, frame);
        assert!(matches!(found, Err(SandboxError::Protocol(_))), "{frame}: {found:?}");
    }
}

#[test]
fn the_first_frame_names_the_version() {
    let request = read(0, 1);
    let first = |frames: &str| Answer { request: &request, lines: 0, partial: Vec::new() }.push(frames.as_bytes());
    assert_eq!(first("{\"protocol\":99}\n"), Err(SandboxError::Version(99)));
    assert_eq!(first("{\"refused\":\"missing\"}\n"), Err(BAD));
    assert_eq!(first("{\"protocol\":"), Ok(None), "it is not whole");
}

#[test]
fn a_frame_in_pieces_is_read_and_bounded() {
    let request = write(true);
    let mut decoder = Answer { request: &request, lines: 0, partial: Vec::new() };
    let frames = format!("{{\"protocol\":{VERSION}}}\n{{\"done\":\"created\"}}\n");
    let answers: Vec<_> = frames.bytes().filter_map(|byte| decoder.push(&[byte]).unwrap()).collect();
    assert_eq!(answers, [Answered::Done(Done::Created)]);

    let mut decoder = Answer { request: &request, lines: 0, partial: Vec::new() };
    let pieces = (0..).take_while(|_| decoder.push(&[b'x'; 64]).is_ok()).count();
    assert_eq!(pieces, FRAME_OVERHEAD / 64);
}
