//! Bytes of request bodies that are held, by tenant and in all.

use std::collections::BTreeMap;

use super::Admission;

/// One part in so many of all bytes is kept for first bytes, and one in as many of that for each tenant's.
const RESERVED: u64 = 4;
const FLOORS: u64 = 64;

/// What is held. Tenants that hold nothing are not in it.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    held: u64,
    /// What of it is first bytes of tenants.
    floors: u64,
    by_tenant: BTreeMap<String, Own>,
}

/// What a tenant holds.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    all: u64,
    /// What of it takes from what is kept for first bytes.
    floor: u64,
}

/// Why a body is not read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Its tenant holds its share.
    Share,
    /// Its tenant does not, but all together hold what the process has.
    Process,
}

impl Bytes {
    pub(super) const fn held(&self) -> u64 {
        self.held
    }

    /// Takes `more`, or nothing. A tenant may hold what is its floor, and of the rest as much as is left free.
    fn take(&mut self, tenant: &str, more: u64, most: u64) -> Result<(), Full> {
        let own = self.by_tenant.get(tenant).copied().unwrap_or_default();
        let reserved = most / RESERVED;
        let left = (reserved / FLOORS).saturating_sub(own.floor).min(reserved.saturating_sub(self.floors));
        let floor = more.min(left);
        let (rest, shared) = (more - floor, most - reserved);
        let after = own.all.saturating_sub(own.floor).saturating_add(rest);
        let held = self.held.saturating_sub(self.floors);
        if rest > 0 && after.saturating_add(held).saturating_add(rest) > shared {
            let others = self.by_tenant.len() as u64 - u64::from(own.all > 0);
            // What each would have if all wanted the most.
            let is_share = after > shared / others.saturating_add(2);
            return Err(if is_share { Full::Share } else { Full::Process });
        }
        if more == 0 {
            return Ok(());
        }
        let after = Own { all: own.all.saturating_add(more), floor: own.floor + floor };
        self.held = self.held.saturating_add(more);
        self.floors += floor;
        match self.by_tenant.get_mut(tenant) {
            Some(own) => *own = after,
            None => drop(self.by_tenant.insert(tenant.to_owned(), after)),
        }
        Ok(())
    }

    /// What was taken of the rest goes back first.
    fn give_back(&mut self, tenant: &str, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
        let Some(own) = self.by_tenant.get_mut(tenant) else { return };
        own.all = own.all.saturating_sub(bytes);
        let floor = own.floor.saturating_sub(own.all);
        own.floor -= floor;
        self.floors = self.floors.saturating_sub(floor);
        if own.all == 0 {
            self.by_tenant.remove(tenant);
        }
    }
}

/// The bytes of one body. Drop gives them back.
#[derive(Debug)]
#[must_use = "bytes that are dropped are free again"]
pub struct Buffered {
    admission: Admission,
    tenant: String,
    bytes: u64,
    most: u64,
}

impl Admission {
    /// Nothing yet of a body of this tenant; all bodies together may hold `most` bytes.
    pub fn buffer(&self, tenant: &str, most: u64) -> Buffered {
        Buffered {
            admission: self.clone(),
            tenant: tenant.to_owned(),
            bytes: 0,
            most: most.min(self.0.ceiling),
        }
    }
}

impl Buffered {
    /// Holds at least `bytes` from now on, or what it held.
    pub fn reach(&mut self, bytes: u64) -> Result<(), Full> {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 {
            self.admission.bytes().take(&self.tenant, more, self.most)?;
            self.bytes = bytes;
        }
        Ok(())
    }

    /// Holds no more than `bytes` from now on.
    pub fn shrink(&mut self, bytes: u64) {
        let spare = self.bytes.saturating_sub(bytes);
        if spare > 0 {
            self.admission.bytes().give_back(&self.tenant, spare);
            self.bytes = bytes;
        }
    }

    /// Bytes that are given back as the last handle to them goes.
    pub fn around(self, body: bytes::Bytes) -> bytes::Bytes {
        if body.is_empty() { body } else { bytes::Bytes::from_owner(Held { body, _buffered: self }) }
    }
}

impl Drop for Buffered {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

struct Held {
    body: bytes::Bytes,
    _buffered: Buffered,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FLOOR: u64 = MOST / RESERVED / FLOORS;
    const MOST: u64 = 256 << 10;
    const SHARED: u64 = MOST - MOST / RESERVED;

    #[test]
    fn a_tenant_may_hold_its_floor_and_what_it_leaves_free() {
        let admission = Admission::default();
        let [mut flood, mut second, mut newcomer] =
            ["flood", "second", "newcomer"].map(|tenant| admission.buffer(tenant, MOST));
        assert_eq!(flood.reach(FLOOR + SHARED / 2 + 1), Err(Full::Share), "alone half of it");
        flood.reach(FLOOR + SHARED / 2).unwrap();
        second.reach(FLOOR + SHARED / 4).unwrap();
        assert_eq!(second.reach(FLOOR + SHARED / 3 + 1), Err(Full::Share));
        assert_eq!(newcomer.reach(FLOOR + SHARED / 8 + 1), Err(Full::Process), "others hold its share");
        newcomer.reach(FLOOR + SHARED / 8).unwrap();
        flood.shrink(FLOOR);
        second.reach(FLOOR + SHARED / 3).unwrap();
        drop((flood, second, newcomer));
        assert_eq!((admission.buffered(), admission.bytes().floors), (0, 0));
        assert!(admission.bytes().by_tenant.is_empty());
    }

    /// What is left free shrinks with each that holds its share; a floor does not.
    #[test]
    fn first_bytes_find_room_whoever_fills_the_rest() {
        let admission = Admission::default();
        let mut floods: Vec<_> = (0..40).map(|n| admission.buffer(&format!("flood {n}"), MOST)).collect();
        for flood in &mut floods {
            let mut bytes = 64;
            while flood.reach(bytes).is_ok() {
                bytes += 64;
            }
        }
        let mut newcomer = admission.buffer("newcomer", MOST);
        newcomer.reach(FLOOR).unwrap();
        assert_eq!(newcomer.reach(FLOOR + 100), Err(Full::Process));
        drop(floods);
        newcomer.shrink(FLOOR / 2);
        assert_eq!((admission.buffered(), admission.bytes().floors), (FLOOR / 2, FLOOR / 2));
    }

    #[test]
    fn a_runtime_with_less_memory_has_the_last_word() {
        let mut body = Admission::with_ceiling(MOST).buffer("t", 1 << 30);
        body.reach(FLOOR + SHARED / 2).unwrap();
        assert_eq!(body.reach(FLOOR + SHARED / 2 + 1), Err(Full::Share));
        for (most, longest) in [(MOST, MOST / 5), (10, 10)] {
            assert_eq!(Admission::with_ceiling(MOST).longest_body(most), longest);
        }
    }

    #[test]
    fn a_body_is_counted_until_its_last_handle_goes() {
        let admission = Admission::default();
        let mut buffered = admission.buffer("t", MOST);
        buffered.reach(5).unwrap();
        let body = buffered.around("hello".into());
        let part = body.slice(1..2);
        drop(body);
        assert_eq!(admission.buffered(), 5);
        drop(part);
        assert_eq!(admission.buffered(), 0);
    }

    proptest! {
        /// Never more than there is; and a tenant that holds nothing finds room while others hold all they can get.
        #[test]
        fn a_newcomer_finds_room_whatever_others_do(steps in proptest::collection::vec((0_usize..4, 1_u64..MOST / 2), 1..100)) {
            let admission = Admission::default();
            let mut bodies: Vec<_> = (0..4).map(|tenant| admission.buffer(&tenant.to_string(), MOST)).collect();
            for (tenant, bytes) in steps {
                if bodies[tenant].reach(bytes).is_err() {
                    bodies[tenant].shrink(bytes);
                }
                prop_assert!(admission.buffered() < MOST);
                prop_assert!(admission.buffer("new", MOST).reach(FLOOR).is_ok());
            }
        }
    }
}
