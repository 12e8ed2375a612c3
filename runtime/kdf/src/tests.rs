use super::*;

fn derived(mut steps: Box<dyn Steps>) -> String {
    loop {
        if let Some(key) = steps.step() {
            return key.iter().map(|byte| format!("{byte:02x}")).collect();
        }
    }
}

fn pbkdf2(digest: u32, password: &str, salt: &str, iterations: u32, length: usize) -> String {
    derived(pbkdf2::begin(digest, password.as_bytes(), salt.as_bytes(), iterations, length).unwrap().unwrap())
}

fn scrypt(password: &str, salt: &str, n: usize, r: usize, p: usize) -> String {
    derived(Box::new(Scrypt::new(password.as_bytes(), salt.as_bytes(), (n, r, p), 64).unwrap()))
}

#[test]
fn pbkdf2_of_rfc_6070() {
    assert_eq!(pbkdf2(160, "password", "salt", 1, 20), "0c60c80f961f0e71f3a9b524af6012062fe037a6");
    assert_eq!(pbkdf2(160, "password", "salt", 4096, 20), "4b007901b765489abead49d926f721d065a429c1");
    assert_eq!(
        pbkdf2(160, "passwordPASSWORDpassword", "saltSALTsaltSALTsaltSALTsaltSALTsalt", 4096, 25),
        "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038"
    );
    assert_eq!(pbkdf2(160, "pass\0word", "sa\0lt", 4096, 16), "56fa6aa75548099dcc37d7f03425e0c3");
}

#[test]
fn scrypt_of_rfc_7914() {
    assert_eq!(
        scrypt("", "", 16, 1, 1),
        "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442\
         fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906"
    );
    assert_eq!(
        scrypt("password", "NaCl", 1024, 8, 16),
        "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162\
         2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"
    );
    assert_eq!(
        scrypt("pleaseletmein", "SodiumChloride", 16384, 8, 1),
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2\
         d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
    );
}

#[test]
fn what_cannot_be_had_is_refused() {
    assert!(pbkdf2::begin(256, b"", b"", 1, usize::MAX).is_err());
    assert!(pbkdf2::begin(7, b"", b"", 1, 1).unwrap().is_none());
    for parameters in [(2, usize::MAX, 1), (1 << 60, 8, 1), (2, 1 << 40, 1 << 40)] {
        assert!(Scrypt::new(b"", b"", parameters, 64).is_err(), "{parameters:?}");
    }
}
