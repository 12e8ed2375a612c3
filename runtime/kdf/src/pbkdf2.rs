//! PBKDF2 (RFC 8018, section 5.2) by HMAC.

use hmac::{
    Hmac, KeyInit, Mac,
    digest::{Output, array::Array},
};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use crate::{NoMemory, Steps, zeros};

/// How many MACs a step computes: about a millisecond's.
const STEP: u32 = 2048;

/// Begins to derive a key of `length` bytes. `digest`: the bits of its hash; `None` if it is unknown.
pub fn begin(
    digest: u32,
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    length: usize,
) -> Result<Option<Box<dyn Steps>>, NoMemory> {
    let key = zeros(length)?;
    Ok(match digest {
        160 => with::<Hmac<Sha1>>(password, salt, iterations, key),
        224 => with::<Hmac<Sha224>>(password, salt, iterations, key),
        256 => with::<Hmac<Sha256>>(password, salt, iterations, key),
        384 => with::<Hmac<Sha384>>(password, salt, iterations, key),
        512 => with::<Hmac<Sha512>>(password, salt, iterations, key),
        _ => None,
    })
}

fn with<M: Mac + KeyInit + Clone + Send + 'static>(
    password: &[u8],
    salt: &[u8],
    iterations: u32,
    key: Vec<u8>,
) -> Option<Box<dyn Steps>> {
    // An HMAC takes keys of any length.
    let mac = <M as KeyInit>::new_from_slice(password).ok()?;
    Some(Box::new(Pbkdf2::new(mac, salt, iterations, key)))
}

/// A key that is being derived, one block of a digest's size after the other.
pub struct Pbkdf2<M: Mac> {
    /// Keyed with the password.
    mac: M,
    /// `mac`, updated with the salt.
    salted: M,
    iterations: u32,
    /// The number of the block, from 1.
    block: u32,
    /// How many iterations of the block are left; 0 before its first.
    left: u32,
    last: Output<M>,
    /// XOR of the block's iterations.
    total: Output<M>,
    key: Vec<u8>,
    /// How many bytes of the key are complete.
    done: usize,
}

impl<M: Mac + Clone> Pbkdf2<M> {
    /// Begins to fill `key` by a MAC that is keyed with the password; does at least one iteration.
    pub fn new(mac: M, salt: &[u8], iterations: u32, key: Vec<u8>) -> Self {
        let salted = mac.clone().chain_update(salt);
        Self {
            mac,
            salted,
            iterations,
            block: 1,
            left: 0,
            last: Array::default(),
            total: Array::default(),
            key,
            done: 0,
        }
    }
}

impl<M: Mac + Clone + Send> Steps for Pbkdf2<M> {
    fn step(&mut self) -> Option<Vec<u8>> {
        let mut may = STEP;
        while self.done < self.key.len() {
            if may == 0 {
                return None;
            }
            if self.left == 0 {
                self.last = self.salted.clone().chain_update(self.block.to_be_bytes()).finalize().into_bytes();
                self.total.clone_from(&self.last);
                self.left = self.iterations.saturating_sub(1);
                may -= 1;
            }
            let now = self.left.min(may);
            for _ in 0..now {
                self.last = self.mac.clone().chain_update(&self.last).finalize().into_bytes();
                for (total, last) in self.total.iter_mut().zip(&self.last) {
                    *total ^= last;
                }
            }
            may -= now;
            self.left -= now;
            if self.left == 0 {
                let place = self.key.iter_mut().skip(self.done);
                self.done += place.zip(&self.total).map(|(byte, total)| *byte = *total).count();
                self.block = self.block.wrapping_add(1);
            }
        }
        Some(std::mem::take(&mut self.key))
    }
}
