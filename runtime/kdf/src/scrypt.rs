//! scrypt (RFC 7914), which fills memory, in steps.

use hmac::{Hmac, KeyInit};
use sha2::Sha256;

use crate::{NoMemory, Steps, pbkdf2::Pbkdf2, room, zeros};

/// How many blocks of 64 bytes a step mixes: about a millisecond's.
const STEP: usize = 16_384;

/// A key that is being derived.
pub struct Scrypt {
    /// Keyed with the password.
    mac: Hmac<Sha256>,
    /// The key, to be filled.
    key: Vec<u8>,
    phase: Phase,
    mix: Mix,
}

enum Phase {
    /// Expands the password and the salt to `p` parts of `128 * r` bytes.
    Expand(Pbkdf2<Hmac<Sha256>>),
    /// Mixes each part; `part` is the next one.
    Mix { parts: Vec<u8>, part: usize },
    /// Derives the key, with all parts as its salt.
    Key(Pbkdf2<Hmac<Sha256>>),
}

impl Scrypt {
    /// Begins. `n` is a power of two, at least 2.
    pub fn new(
        password: &[u8],
        salt: &[u8],
        (n, r, p): (usize, usize, usize),
        length: usize,
    ) -> Result<Self, NoMemory> {
        if r == 0 {
            return Err(NoMemory);
        }
        let parts = r.checked_mul(128).and_then(|size| size.checked_mul(p)).ok_or(NoMemory)?;
        // An HMAC takes keys of any length.
        let mac = Hmac::new_from_slice(password).map_err(|_| NoMemory)?;
        Ok(Self {
            phase: Phase::Expand(Pbkdf2::new(mac.clone(), salt, 1, zeros(parts)?)),
            mac,
            key: zeros(length)?,
            mix: Mix::new(n, 2 * r)?,
        })
    }
}

impl Steps for Scrypt {
    fn step(&mut self) -> Option<Vec<u8>> {
        match &mut self.phase {
            Phase::Expand(parts) => {
                let parts = parts.step()?;
                self.phase = Phase::Mix { parts, part: 0 };
                None
            }
            Phase::Mix { parts, part } => {
                let size = 64 * self.mix.x.len();
                if let Some(bytes) = parts.chunks_exact_mut(size).nth(*part) {
                    if self.mix.step(bytes) {
                        *part += 1;
                    }
                } else {
                    let key = std::mem::take(&mut self.key);
                    self.phase = Phase::Key(Pbkdf2::new(self.mac.clone(), parts, 1, key));
                }
                None
            }
            Phase::Key(key) => key.step(),
        }
    }
}

/// 64 bytes for salsa20: the rows are diagonals of its matrix, so that a round does the same for each column.
type Block = [Row; 4];
type Row = [u32; 4];

/// The positions in the matrix of the words of each row.
const DIAGONALS: [[usize; 4]; 4] = [[0, 5, 10, 15], [4, 9, 14, 3], [8, 13, 2, 7], [12, 1, 6, 11]];

/// ROMix (section 5), one part after the other.
struct Mix {
    x: Vec<Block>,
    y: Vec<Block>,
    /// `x` in each of the first `n` rounds.
    v: Vec<Block>,
    n: usize,
    /// Which of the `2 * n` rounds is next.
    round: usize,
}

impl Mix {
    /// Mixes parts of `blocks` blocks.
    fn new(n: usize, blocks: usize) -> Result<Self, NoMemory> {
        let v = room(n.checked_mul(blocks).ok_or(NoMemory)?)?;
        let mut x = room(blocks)?;
        x.resize(blocks, Block::default());
        let mut y = room(blocks)?;
        y.resize(blocks, Block::default());
        Ok(Self { x, y, v, n, round: 0 })
    }

    /// Mixes a part further; returns whether it is done.
    fn step(&mut self, part: &mut [u8]) -> bool {
        if self.round == 0 {
            self.v.clear();
            read(part, &mut self.x);
        }
        let blocks = self.x.len();
        let end = (self.round + STEP.div_ceil(blocks)).min(2 * self.n);
        while self.round < self.n.min(end) {
            // `new` has reserved the room.
            self.v.extend_from_slice(&self.x);
            block_mix(self.v.get(self.round * blocks..).unwrap_or_default(), &mut self.x);
            self.round += 1;
        }
        while self.round < end {
            let [[word, ..], ..] = self.x.last().copied().unwrap_or_default();
            let chosen = (word as usize & (self.n - 1)) * blocks;
            let earlier = self.v.get(chosen..).unwrap_or_default();
            for ((y, x), v) in self.y.iter_mut().zip(&self.x).zip(earlier) {
                *y = xored(x, v);
            }
            block_mix(&self.y, &mut self.x);
            self.round += 1;
        }
        if self.round < 2 * self.n {
            return false;
        }
        write(&self.x, part);
        self.round = 0;
        true
    }
}

/// scryptBlockMix (section 4).
fn block_mix(from: &[Block], to: &mut [Block]) {
    let (even, odd) = to.split_at_mut(to.len() / 2);
    let mut x = from.last().copied().unwrap_or_default();
    for ((pair, even), odd) in from.chunks_exact(2).zip(even).zip(odd) {
        if let [first, second] = pair {
            x = salsa20_8(xored(&x, first));
            *even = x;
            x = salsa20_8(xored(&x, second));
            *odd = x;
        }
    }
}

fn salsa20_8(block: Block) -> Block {
    let [mut a, mut b, mut c, mut d] = block;
    for _ in 0..8 {
        b = mixed::<7>(b, a, d);
        c = mixed::<9>(c, b, a);
        d = mixed::<13>(d, c, b);
        a = mixed::<18>(a, d, c);
        // Rows become columns, and columns rows.
        (b, c, d) = (by_one(d), by_one(by_one(c)), by_one(by_one(by_one(b))));
    }
    let [first, second, third, fourth] = block;
    [sum(a, first), sum(b, second), sum(c, third), sum(d, fourth)]
}

#[inline(always)]
fn mixed<const BITS: u32>(row: Row, left: Row, right: Row) -> Row {
    xor(row, sum(left, right).map(|word| word.rotate_left(BITS)))
}

/// A row that is rotated left by one word.
#[inline(always)]
fn by_one([a, b, c, d]: Row) -> Row {
    [b, c, d, a]
}

#[inline(always)]
fn xored([a, b, c, d]: &Block, [e, f, g, h]: &Block) -> Block {
    [xor(*a, *e), xor(*b, *f), xor(*c, *g), xor(*d, *h)]
}

#[inline(always)]
fn sum([a, b, c, d]: Row, [e, f, g, h]: Row) -> Row {
    [a.wrapping_add(e), b.wrapping_add(f), c.wrapping_add(g), d.wrapping_add(h)]
}

#[inline(always)]
fn xor([a, b, c, d]: Row, [e, f, g, h]: Row) -> Row {
    [a ^ e, b ^ f, c ^ g, d ^ h]
}

fn read(bytes: &[u8], blocks: &mut [Block]) {
    for (block, bytes) in blocks.iter_mut().zip(bytes.as_chunks::<64>().0) {
        let words = bytes.as_chunks::<4>().0;
        *block = DIAGONALS.map(|row| row.map(|at| words.get(at).map_or(0, |word| u32::from_le_bytes(*word))));
    }
}

fn write(blocks: &[Block], bytes: &mut [u8]) {
    for (block, bytes) in blocks.iter().zip(bytes.as_chunks_mut::<64>().0) {
        let words = bytes.as_chunks_mut::<4>().0;
        for (row, places) in block.iter().zip(DIAGONALS) {
            for (value, at) in row.iter().zip(places) {
                if let Some(word) = words.get_mut(at) {
                    *word = value.to_le_bytes();
                }
            }
        }
    }
}
