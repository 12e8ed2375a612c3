use std::io::Write;

use proptest::prelude::*;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;

/// A wheel of these files.
pub(in crate::packages) fn wheel(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// The files of an archive.
fn unpack(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let length = u32::from_le_bytes(archive[..4].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&archive[4..4 + length]).unwrap();
    let bytes = &archive[4 + length..];
    let file = |entry: &serde_json::Value| {
        let (offset, size) = (entry[1].as_u64().unwrap() as usize, entry[2].as_u64().unwrap() as usize);
        (entry[0].as_str().unwrap().to_owned(), bytes[offset..offset + size].to_vec())
    };
    header["files"].as_array().unwrap().iter().map(file).collect()
}

#[test]
fn files_and_modules_are_parted() {
    let bytes = wheel(&[
        ("a/z.py", b"z"),
        ("a/__init__.py", b""),
        ("a/core.cpython-314-wasm32-emscripten.so", b"\0asm1"),
        ("a/linux.so", b"\x7fELF"),
        ("a/tests/test_a.py", b"no"),
        ("a/testing/b.py", b"yes"),
        ("tests/x.py", b"top"),
        ("a-1.data/purelib/b.py", b"b"),
        ("a-1.data/scripts/run", b"no"),
        ("a-1.dist-info/METADATA", b"Name: a\n"),
    ]);
    let prepared = prepare(&bytes).unwrap();
    assert_eq!(prepared.modules, [("a/core.cpython-314-wasm32-emscripten.so".to_owned(), b"\0asm1".to_vec())]);
    let files: Vec<_> = unpack(&prepared.archive)
        .into_iter()
        .map(|(path, bytes)| (path, String::from_utf8_lossy(&bytes).into_owned()))
        .collect();
    let expected = [
        ("a-1.dist-info/METADATA", "Name: a\n"),
        ("a/__init__.py", ""),
        ("a/linux.so", "\u{7f}ELF"),
        ("a/testing/b.py", "yes"),
        ("a/z.py", "z"),
        ("b.py", "b"),
        ("tests/x.py", "top"),
    ];
    assert_eq!(files, expected.map(|(path, text)| (path.to_owned(), text.to_owned())));
    assert_eq!(metadata(&bytes).unwrap(), "Name: a\n");
}

#[test]
fn a_wheel_is_the_one_that_was_asked_for() {
    let bytes = wheel(&[("a.py", b"1")]);
    let hash = sha256(&bytes);
    assert_eq!(check(&sha256(&bytes), &hash), Ok(()));
    let mut changed = bytes;
    changed[40] ^= 1;
    let error = check(&sha256(&changed), &hash).unwrap_err();
    assert!(error.contains(&hash) && error.contains(&sha256(&changed)), "{error}");
}

#[test]
fn names_stay_in_the_folder() {
    for name in
        ["../a.py", "/etc/passwd", "a/../../b", "a//b", "./a", "a\\..\\b", "C:a", "a\nb", &"a".repeat(MAX_PATH + 1)]
    {
        let error = prepare(&wheel(&[(name, b"x")])).unwrap_err();
        assert!(error.contains("name"), "{name}: {error}");
    }
}

#[test]
fn links_are_refused() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_symlink("a.py", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let error = prepare(&zip.finish().unwrap().into_inner()).unwrap_err();
    assert!(error.contains("symbolic link"), "{error}");
}

#[test]
fn two_files_in_one_place_are_refused() {
    let error = prepare(&wheel(&[("b.py", b"1"), ("a-1.data/purelib/b.py", b"2")])).unwrap_err();
    assert!(error.contains("two files"), "{error}");
    // The same name twice: the writer does not do that, so a name is changed in the bytes.
    let mut bytes = wheel(&[("aa.py", b"1"), ("ab.py", b"2")]);
    for at in 0..bytes.len() - 5 {
        if bytes[at..].starts_with(b"ab.py") {
            bytes[at + 1] = b'a';
        }
    }
    let error = prepare(&bytes).unwrap_err();
    assert!(error.contains("two files"), "{error}");
}

#[test]
fn bombs_are_refused() {
    let zeros = vec![0; 8 * WHEEL_RATIO_FREE];
    let error = prepare(&wheel(&[("a.bin", &zeros)])).unwrap_err();
    assert!(error.contains("unpacks"), "{error}");
    let many: Vec<String> = (0..=MAX_WHEEL_FILES).map(|n| format!("{n}.py")).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), [].as_slice())).collect();
    let error = prepare(&wheel(&many)).unwrap_err();
    assert!(error.contains(&MAX_WHEEL_FILES.to_string()), "{error}");
}

#[test]
fn a_file_is_as_large_as_it_says() {
    let mut bytes = wheel(&[("a.py", b"0123456789")]);
    // The size in the central directory, 24 bytes after its signature.
    let central = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    bytes[central + 24] = 5;
    assert!(prepare(&bytes).is_err());
    bytes[central + 24] = 50;
    assert!(prepare(&bytes).is_err());
}

#[test]
fn metadata_is_bounded() {
    let large = vec![b'a'; MAX_METADATA + 1];
    assert!(metadata(&wheel(&[("a-1.dist-info/METADATA", &large)])).is_err());
    assert!(metadata(&wheel(&[("a.py", b"")])).unwrap_err().contains("no METADATA"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_wheels_do_not_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = wheel(&[("a/__init__.py", b"import b"), ("a/b.so", b"\0asm"), ("a-1.dist-info/METADATA", b"Name: a")]);
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = prepare(&bytes);
        let _ = metadata(&bytes);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = prepare(&bytes);
    }
}
