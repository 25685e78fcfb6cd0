//! Damage: what networks, careless editors and hostile clients do to good input.

use std::fs;
use std::path::Path;

use weir::random::{STEP, scramble};

/// Pieces that formats stumble over.
const SPLINTERS: [&[u8]; 24] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\0",
    b"\xff",
    b"\xc3",
    b"\xef\xbb\xbf",
    b"%2e%2e%2f",
    b"\\u0000",
    b"\\ud800",
    b"1e999",
    b"-0",
    b"null",
    b"data: ",
    b"#",
    b"=",
];

/// The files of the target `name`, in the order of their names. A target without a corpus proves nothing.
pub fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/__fuzz__").join(name).join("corpus");
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no corpus in {}", folder.display());
    paths.iter().flat_map(fs::read).collect()
}

/// Every file of the corpus, damaged `count` times over. The same every time.
pub fn mutants(name: &str, count: usize) -> impl Iterator<Item = Vec<u8>> {
    let files = corpus(name);
    let mut dice = Dice(0x5745_4952);
    let mut made = 0;
    let all = files.len() * count;
    std::iter::from_fn(move || {
        let mut bytes = files[made % files.len()].clone();
        made += 1;
        for _ in 0..=dice.below(3) {
            let other = &files[dice.below(files.len())];
            damage(&mut bytes, other, &mut dice);
        }
        (made <= all).then_some(bytes)
    })
}

fn damage(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let end = (at + dice.below(16)).min(bytes.len());
    match dice.below(8) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..end)),
        2 => drop(bytes.splice(at..at, SPLINTERS[dice.below(SPLINTERS.len())].iter().copied())),
        3 => drop(bytes.splice(at..end, SPLINTERS[dice.below(SPLINTERS.len())].iter().copied())),
        4 => {
            let again = bytes[at..end].repeat(1 + dice.below(4));
            drop(bytes.splice(at..at, again));
        }
        5 => {
            let from = dice.below(other.len() + 1);
            let to = (from + dice.below(64)).min(other.len());
            drop(bytes.splice(at..at, other[from..to].iter().copied()));
        }
        6 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << dice.below(8);
            }
        }
        _ => bytes[at..end].reverse(),
    }
}

/// `SplitMix64`.
struct Dice(u64);

impl Dice {
    /// A number below `limit`, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        let roll = scramble(self.0);
        self.0 = self.0.wrapping_add(STEP);
        usize::try_from(roll % limit as u64).unwrap_or(0)
    }
}
