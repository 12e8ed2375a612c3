//! Files of sessions, over HTTP and as resources, in a home whose sessions live in memory.

use std::cell::RefCell;

use futures::{stream, stream::LocalBoxStream};
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::json;

use super::{
    ending::{ask, end, home, run_in},
    *,
};
use crate::{
    home::{Connection, Home},
    limits::{FILE_PART, FILES_LISTED, MAX_RESOURCE, UPLOAD_STALL},
    transport::{Body, Request, Response},
};

type Pieces = LocalBoxStream<'static, Result<Vec<u8>, String>>;

fn pieces(bytes: &[u8]) -> Pieces {
    stream::iter(bytes.chunks(70_001).map(|piece| Ok(piece.to_vec())).collect::<Vec<_>>()).boxed_local()
}

async fn http(home: &Home<Fake>, who: &str, method: Method, rest: &str, body: Pieces) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert("host", "mcp.example".parse().unwrap());
    headers.insert("authorization", format!("Bearer secret-of-{who}").parse().unwrap());
    http_with(home, headers, method, rest, body).await
}

async fn http_with(home: &Home<Fake>, headers: HeaderMap, method: Method, rest: &str, body: Pieces) -> Response {
    let uri = format!("https://mcp.example/files/{rest}").parse().unwrap();
    let mut request = Request::new(method, uri, headers, Vec::new());
    request.body = body;
    home.handle(request).await
}

async fn put(home: &Home<Fake>, who: &str, rest: &str, bytes: &[u8]) -> (u16, String) {
    told(http(home, who, Method::PUT, rest, pieces(bytes)).await).await
}

async fn get(home: &Home<Fake>, who: &str, rest: &str) -> Response {
    http(home, who, Method::GET, rest, pieces(&[])).await
}

/// The status of a response, and its text.
async fn told(response: Response) -> (u16, String) {
    let status = response.status.as_u16();
    (status, String::from_utf8(bytes(response).await.unwrap()).unwrap())
}

async fn bytes(response: Response) -> Result<Vec<u8>, String> {
    match response.body {
        Body::Empty => Ok(Vec::new()),
        Body::Full(bytes) => Ok(bytes),
        Body::Stream(mut parts) => {
            let mut all = Vec::new();
            while let Some(part) = parts.next().await {
                all.extend(part?);
            }
            Ok(all)
        }
        Body::Events(_) => panic!("events"),
    }
}

async fn begun(home: &Home<Fake>) -> String {
    run_in(home, "ann", "count", "new").await["session"].as_str().unwrap().to_owned()
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n * 31 % 251) as u8).collect()
}

const NO_SESSION: &str = r#"{"error":"Not Found: there is no such session"}"#;

#[test]
fn a_file_of_many_parts_goes_in_and_comes_out() {
    check(async {
        let fake = Fake::default();
        let home = home(&fake);
        let handle = begun(&home).await;
        for (n, size) in [0, 1, FILE_PART, FILE_PART + 1, 5 * FILE_PART / 2].into_iter().enumerate() {
            let whole = content(size);
            let name = format!("{handle}/d/%C3%A4%20{n}.csv");
            assert_eq!(put(&home, "ann", &name, &whole).await, (201, String::new()), "{size}");
            assert_eq!(put(&home, "ann", &name, &whole).await, (204, String::new()), "{size}");
            let response = get(&home, "ann", &name).await;
            assert_eq!(response.status, StatusCode::OK);
            let said = |name: &str| response.headers[name].to_str().unwrap().to_owned();
            assert_eq!(said("content-length"), size.to_string());
            assert_eq!(said("content-type"), "text/csv");
            assert_eq!(said("content-disposition"), format!("attachment; filename*=UTF-8''%C3%A4%20{n}.csv"));
            assert_eq!(said("x-content-type-options"), "nosniff");
            assert_eq!(said("content-security-policy"), "sandbox; default-src 'none'");
            assert!(bytes(response).await.unwrap() == whole, "{size}");
            let deleted = http(&home, "ann", Method::DELETE, &name, pieces(&[])).await;
            assert_eq!(told(deleted).await.0, 204);
            assert_eq!(
                told(get(&home, "ann", &name).await).await,
                (404, r#"{"error":"Not Found: there is no such file"}"#.into())
            );
        }
        assert_eq!(fake.0.files(), (vec![], 0));
    });
}

#[test]
fn nobody_else_learns_of_a_session_or_keeps_it_from_being_idle() {
    check(async {
        let fake = Fake::default();
        let home = home(&fake);
        let handle = begun(&home).await;
        put(&home, "ann", &format!("{handle}/a"), b"x").await;
        let none = "0".repeat(26);
        let knocking = async |who: &str, handle: &str| {
            let name = format!("{handle}/a");
            assert_eq!(put(&home, who, &name, b"x").await, (404, NO_SESSION.into()));
            for method in [Method::GET, Method::DELETE] {
                let response = http(&home, who, method, &name, pieces(&[])).await;
                assert_eq!(told(response).await, (404, NO_SESSION.into()));
            }
            let uri = format!("sandbox://{handle}/a");
            let error = ask(&home, who, "resources/read", &uri, json!({ "uri": uri })).await;
            assert_eq!((error["code"].as_i64(), &error["data"]["uri"]), (Some(-32602), &json!(uri)));
            error["message"].as_str().unwrap().to_owned()
        };
        // Another's session looks like one that never was, and others' requests do not keep it open.
        assert_eq!(knocking("bob", &handle).await, knocking("bob", &none).await);
        for _ in 0..5 {
            sleep(Duration::from_secs(10 * 60)).await;
            knocking("bob", &handle).await;
            home.end_idle();
        }
        assert_eq!(fake.0.alive.get(), 0, "it was idle for half an hour");
        let ended = told(get(&home, "ann", &format!("{handle}/a")).await).await;
        assert!(ended.0 == 404 && ended.1.contains("it was idle for 1800 s"), "{ended:?}");
        assert_eq!(knocking("bob", &handle).await, knocking("bob", &none).await);
        for (rest, why) in [("", NO_SESSION), ("new/a", NO_SESSION), ("h1/a", NO_SESSION)] {
            assert_eq!(told(get(&home, "ann", rest).await).await, (404, why.into()), "{rest}");
        }
    });
}

#[test]
fn an_upload_that_does_not_come_to_its_end_leaves_what_was_there() {
    check(async {
        let fake = Fake::default();
        let home = home(&fake);
        let handle = begun(&home).await;
        let name = format!("{handle}/a");
        put(&home, "ann", &name, b"before").await;
        let half = || stream::iter([Ok(content(FILE_PART * 3 / 2))]);
        let broken = || half().chain(stream::iter([Err("it went away".to_owned())])).boxed_local();
        let stalled = || half().chain(stream::pending()).boxed_local();
        let endless = || stream::repeat_with(|| Ok(vec![7; 100_000])).boxed_local();
        for (body, expected) in [
            (broken(), (400, "could not be read: it went away")),
            (stalled(), (408, "nothing came for too long")),
            (endless(), (413, "the files of a session may have 4194304 bytes (FILES_LIMIT_MB)")),
        ] {
            let began = now();
            let (status, why) = told(http(&home, "ann", Method::PUT, &name, body).await).await;
            assert!(status == expected.0 && why.contains(expected.1), "{status} {why}");
            assert!(now() - began <= UPLOAD_STALL + Duration::from_secs(1));
            sleep(PATIENCE).await;
            assert_eq!(fake.0.files(), (vec![("a".into(), 6)], 0), "{why}");
        }
        // A client that goes away during an upload changes nothing.
        let mut upload = Box::pin(http(&home, "ann", Method::PUT, &name, stalled()).fuse());
        select_biased! { _ = upload => panic!("it was answered"), () = sleep(Duration::from_secs(1)).fuse() => {} }
        assert_eq!(fake.0.files(), (vec![("a".into(), 6)], 1));
        drop(upload);
        sleep(PATIENCE).await;
        assert_eq!(fake.0.files(), (vec![("a".into(), 6)], 0));
        // Nor does a body that is not as its headers say.
        for (name, value, status) in [
            ("content-length", "7", 400),
            ("content-length", "4194305", 413),
            ("content-range", "bytes 0-5/6", 400),
            ("content-encoding", "gzip", 415),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", "mcp.example".parse().unwrap());
            headers.insert("authorization", "Bearer secret-of-ann".parse().unwrap());
            headers.insert(name, value.parse().unwrap());
            let response = http_with(&home, headers, Method::PUT, &format!("{handle}/a"), pieces(b"after!")).await;
            assert_eq!(told(response).await.0, status, "{name}");
        }
        assert_eq!(fake.0.files(), (vec![("a".into(), 6)], 0));
        assert_eq!(*fake.0.violations.borrow(), [""; 0]);
    });
}

#[test]
fn paths_are_refused_by_what_is_wrong_with_them() {
    check(async {
        let fake = Fake::default();
        let home = home(&fake);
        let handle = begun(&home).await;
        for (path, why) in [
            ("", "is empty"),
            ("/etc/passwd", "must be relative"),
            ("a/%2e%2E/%2e%2e/b", "leads out of the folder"),
            ("a%2F..%2F..%2Fb", "leads out of the folder"),
            ("a//b", "has an empty part"),
            ("a%00", "control character"),
            ("a%5C..%5Cb", "backslash"),
            ("%E2%80%AEgpj.exe", "cannot be seen"),
            ("%C3", "is not UTF-8"),
            ("a%zz", "without two hexadecimal digits"),
            ("a?b", "has a query"),
        ] {
            for method in [Method::PUT, Method::GET, Method::DELETE] {
                let response = http(&home, "ann", method, &format!("{handle}/{path}"), pieces(b"x")).await;
                let (status, said) = told(response).await;
                assert!(status == 400 && said.contains(why), "{path}: {status} {said}");
            }
        }
        let allowed = http(&home, "ann", Method::POST, &format!("{handle}/a"), pieces(b"x")).await;
        assert_eq!(
            (allowed.status.as_u16(), &allowed.headers[header::ALLOW]),
            (405, &"GET, PUT, DELETE, OPTIONS".parse().unwrap())
        );
        assert_eq!(fake.0.files(), (vec![], 0));
    });
}

#[test]
fn a_file_that_is_changed_while_it_is_read_is_not_taken_for_whole() {
    check(async {
        let fake = Fake::default();
        let home = home(&fake);
        let handle = begun(&home).await;
        let name = format!("{handle}/a");
        put(&home, "ann", &name, &content(3 * FILE_PART)).await;
        for changed in [3 * FILE_PART, 3 * FILE_PART - 1, 10] {
            let response = get(&home, "ann", &name).await;
            fake.0.write("a", &content(changed));
            assert_eq!(bytes(response).await, Err("the file was changed while it was read".into()), "{changed}");
            fake.0.write("a", &content(3 * FILE_PART));
        }
        let response = get(&home, "ann", &name).await;
        end(&home, "ann", &handle).await;
        assert_eq!(bytes(response).await, Err("the file can no longer be read".into()));
    });
}

#[test]
fn what_an_isolate_forges_is_no_answer() {
    check(async {
        let fake = Fake::default();
        let home = home(&fake);
        let handle = begun(&home).await;
        let name = format!("{handle}/a");
        let uri = format!("sandbox://{name}");
        for forged in [
            "{}",
            "null",
            r#"{"stdout":["x"]}"#,
            r#"{"done":"created"}"#,
            r#"{"read":{"size":1,"version":1,"base64":"AAAA"}}"#,
            r#"{"read":{"size":99999999,"version":1,"base64":"AAAA"}}"#,
            &format!(r#"{{"read":{{"size":1,"version":1,"base64":"{}"}}}}"#, "A".repeat(4 * FILE_PART)),
        ] {
            fake.0.forged.replace(Some(forged.to_owned()));
            let (status, said) = told(get(&home, "ann", &name).await).await;
            assert!(status == 502 && said.contains("broke its protocol"), "{status} {said}");
            let error = ask(&home, "ann", "resources/read", &uri, json!({ "uri": uri })).await;
            assert!(error["code"] == -32603 && error["message"].as_str().unwrap().contains("protocol"), "{error}");
        }
        fake.0.forged.replace(Some(r#"{"refused":"full"}"#.to_owned()));
        assert_eq!(put(&home, "ann", &name, b"x").await.0, 507);
        fake.0.forged.replace(Some(r#"{"refused":"link"}"#.to_owned()));
        let conflict = put(&home, "ann", &name, b"x").await;
        assert_eq!(conflict, (409, r#"{"error":"Conflict: a part of its path is a link"}"#.into()));
        fake.0.forged.take();
        assert_eq!(put(&home, "ann", &name, b"x").await.0, 201, "the session goes on");
    });
}

#[test]
fn a_restart_is_told_to_the_next_run_and_not_to_who_asks_for_files() {
    check(async {
        let (world, session) = alone();
        run(&session, "count").await.unwrap();
        world.lose_all();
        let request = crate::run::asking::FileRequest::Delete { path: "a".into() };
        let answered = crate::run::asking::ask(&session, &request, crate::limits::Limits::default()).await;
        assert!(answered.is_ok(), "{answered:?}");
        assert_eq!(run(&session, "count").await.unwrap().0, Some(RESTARTED));
    });
}

/// A connection, and the messages that were sent to it.
fn connect(home: &Home<Fake>) -> (Connection<Fake>, Rc<RefCell<Vec<Value>>>) {
    let sent = Rc::<RefCell<Vec<Value>>>::default();
    let inbox = sent.clone();
    let connection = home.connect(move |text| inbox.borrow_mut().push(serde_json::from_str(&text).unwrap()));
    (connection, sent)
}

async fn request(
    (connection, sent): &(Connection<Fake>, Rc<RefCell<Vec<Value>>>),
    method: &str,
    params: Value,
) -> Value {
    sent.borrow_mut().clear();
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    connection.receive(message.to_string().as_bytes());
    loop {
        let answer = sent.borrow().iter().find(|message| message["id"] == 1).cloned();
        match answer {
            Some(answer) => return answer.get("result").unwrap_or(&answer["error"]).clone(),
            None => sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn initialized(home: &Home<Fake>) -> (Connection<Fake>, Rc<RefCell<Vec<Value>>>) {
    let client = connect(home);
    let params =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    let result = request(&client, "initialize", params).await;
    assert_eq!(result["capabilities"]["resources"], json!({ "listChanged": true }));
    client
}

#[test]
fn the_files_of_a_connection_are_its_own_resources() {
    check(async {
        let fake = Fake::default();
        let home = home(&fake);
        let client = initialized(&home).await;
        assert_eq!(request(&client, "resources/list", json!({})).await, json!({ "resources": [] }));
        assert_eq!(fake.0.spawned.get(), 0, "no interpreter is started for that");
        let shown = r#"show {"file":{"path":"big","change":"created","size":9000000}}"#;
        let ran = json!({ "name": "run_python_code", "arguments": { "python_code": shown } });
        let result = request(&client, "tools/call", ran.clone()).await;
        let told = client.1.borrow().iter().any(|message| message["method"] == "notifications/resources/list_changed");
        assert!(told, "{:?}", client.1);
        let uri = result["structuredContent"]["files"][0]["uri"].as_str().unwrap().to_owned();
        let link = &result["content"][1];
        assert_eq!((&link["type"], &link["uri"]), (&json!("resource_link"), &json!(uri)));
        let own = uri.strip_suffix("/big").unwrap();
        for n in 0..=FILES_LISTED {
            fake.0.write(&format!("f{n:03}"), format!("ä{n}").as_bytes());
        }
        fake.0.write("x.png", &[0xff]);
        let first = request(&client, "resources/list", json!({})).await;
        assert_eq!(first["resources"].as_array().unwrap().len(), FILES_LISTED);
        assert_eq!(
            first["resources"][0],
            json!({
                "uri": format!("{own}/f000"), "name": "f000", "title": "f000", "mimeType": "application/octet-stream", "size": 3,
            })
        );
        let second = request(&client, "resources/list", json!({ "cursor": first["nextCursor"] })).await;
        assert_eq!((second["resources"].as_array().unwrap().len(), second.get("nextCursor")), (2, None));
        for cursor in ["", "%", "Li4vYQ=="] {
            assert_eq!(request(&client, "resources/list", json!({ "cursor": cursor })).await["code"], -32602);
        }
        let read = async |client, uri: &str| request(client, "resources/read", json!({ "uri": uri })).await;
        assert_eq!(read(&client, &format!("{own}/f007")).await["contents"][0]["text"], "ä7");
        let image = read(&client, &format!("{own}/x.png")).await["contents"][0].clone();
        assert_eq!((&image["blob"], &image["mimeType"]), (&json!("/w=="), &json!("image/png")));
        fake.0.write("most", &vec![b'a'; MAX_RESOURCE]);
        let most = read(&client, &format!("{own}/most")).await;
        assert_eq!(most["contents"][0]["text"].as_str().map(str::len), Some(MAX_RESOURCE));
        fake.0.write("more", &vec![b'a'; MAX_RESOURCE + 1]);
        let more = read(&client, &format!("{own}/more")).await;
        assert!(more["code"] == -32602 && more["message"].as_str().unwrap().contains("/files/HANDLE/PATH"), "{more}");
        // The URIs of a connection are of no use to others, not even to those with files of the same names.
        let other = initialized(&home).await;
        request(&other, "tools/call", ran).await;
        fake.0.write("f007", b"in both");
        let unknown = read(&client, &format!("{own}/none")).await;
        assert_eq!(unknown["code"], -32002);
        assert_eq!(read(&other, &format!("{own}/f007")).await["message"], unknown["message"]);
        assert_eq!(put(&home, "ann", &format!("{}/f007", &own["sandbox://".len()..]), b"x").await.0, 404);
        for uri in ["file:///etc/passwd", "sandbox:///f007", "", &format!("{own}/../f007")] {
            assert_eq!(read(&client, uri).await["code"], -32002, "{uri}");
        }
    });
}

#[test]
fn modern_lists_say_how_long_they_hold() {
    check(async {
        let home = home(&Fake::default());
        let handle = begun(&home).await;
        put(&home, "ann", &format!("{handle}/a"), b"x").await;
        let list = ask(&home, "ann", "resources/list", "", json!({})).await;
        assert_eq!(
            (&list["resources"], &list["ttlMs"], &list["cacheScope"]),
            (&json!([]), &json!(0), &json!("private"))
        );
        let templates = ask(&home, "ann", "resources/templates/list", "", json!({})).await;
        assert_eq!(templates["resourceTemplates"][0]["uriTemplate"], "sandbox://{session}/{+path}");
        assert_eq!((&templates["ttlMs"], &templates["cacheScope"]), (&json!(3_600_000), &json!("public")));
        let uri = format!("sandbox://{handle}/a");
        let read = ask(&home, "ann", "resources/read", &uri, json!({ "uri": uri })).await;
        assert_eq!(read["contents"], json!([{ "uri": uri, "mimeType": "application/octet-stream", "text": "x" }]));
        assert_eq!((&read["ttlMs"], &read["cacheScope"]), (&json!(0), &json!("private")));
    });
}
