//! Handles: unguessable names of sessions and of kept files.

/// Letters of a handle: base32 without those that look like others (Crockford's).
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How many letters a handle has: 128 bits, 5 in each.
const HANDLE_LETTERS: usize = 26;

/// A handle: short enough for a model to copy, and unguessable if `random` is.
#[must_use]
fn handle(random: u128) -> String {
    let letter = |i: usize| (random >> (5 * i)) as usize % LETTERS.len();
    (0..HANDLE_LETTERS).rev().filter_map(|i| LETTERS.get(letter(i))).map(|letter| char::from(*letter)).collect()
}

/// Whether a text has the form of a handle.
#[must_use]
pub fn is_handle(text: &str) -> bool {
    text.len() == HANDLE_LETTERS && text.bytes().all(|letter| LETTERS.contains(&letter))
}

/// A new handle.
#[must_use]
pub fn new_handle() -> String {
    let [one, other] = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()].map(|uuid| uuid.as_u128());
    // A UUID has 122 random bits: the rotation pairs the six fixed bits of each with random ones of the other.
    handle(one ^ other.rotate_left(64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_has_26_letters_for_each_bit_of_128() {
        assert_eq!(handle(0), "0".repeat(26));
        assert_eq!(handle(u128::MAX), format!("7{}", "z".repeat(25)));
        let all: std::collections::HashSet<String> = (0..128).map(|bit| handle(1 << bit)).collect();
        assert_eq!(all.len(), 128);
        for text in &all {
            assert!(is_handle(text), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_handles() {
        for text in [
            "",
            "new",
            &"0".repeat(25),
            &"0".repeat(27),
            &"0".repeat(64),
            &"A".repeat(26),
            &"l".repeat(26),
            &"é".repeat(13),
        ] {
            assert!(!is_handle(text), "{text}");
        }
    }
}
