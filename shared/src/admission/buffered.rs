//! Bytes of request bodies that are held, by tenant and in all.

use std::collections::BTreeMap;

use super::Admission;

/// What is held. Tenants that hold nothing are not in it.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    held: u64,
    by_tenant: BTreeMap<String, u64>,
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

    /// Takes `more`, or nothing. A tenant may hold as much as is left free.
    fn take(&mut self, tenant: &str, more: u64, most: u64) -> Result<(), Full> {
        let own = self.by_tenant.get(tenant).copied().unwrap_or_default();
        let after = own.saturating_add(more);
        if after.saturating_add(self.held).saturating_add(more) > most {
            let others = self.by_tenant.len() as u64 - u64::from(own > 0);
            // What each would have if all wanted the most.
            let is_share = after > most / others.saturating_add(2);
            return Err(if is_share { Full::Share } else { Full::Process });
        }
        self.held = self.held.saturating_add(more);
        match self.by_tenant.get_mut(tenant) {
            Some(own) => *own = after,
            None if more > 0 => drop(self.by_tenant.insert(tenant.to_owned(), more)),
            None => {}
        }
        Ok(())
    }

    fn give_back(&mut self, tenant: &str, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
        if let Some(own) = self.by_tenant.get_mut(tenant) {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                self.by_tenant.remove(tenant);
            }
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

    #[test]
    fn a_tenant_may_hold_what_it_leaves_free() {
        let admission = Admission::default();
        let [mut flood, mut second, mut newcomer] =
            ["flood", "second", "newcomer"].map(|tenant| admission.buffer(tenant, 120));
        assert_eq!(flood.reach(61), Err(Full::Share), "alone half of it");
        flood.reach(60).unwrap();
        second.reach(30).unwrap();
        assert_eq!(second.reach(41), Err(Full::Share));
        assert_eq!(newcomer.reach(16), Err(Full::Process), "others hold what would be its share");
        newcomer.reach(15).unwrap();
        flood.shrink(20);
        second.reach(40).unwrap();
        drop((flood, second, newcomer));
        assert_eq!((admission.buffered(), admission.bytes().by_tenant.len()), (0, 0));
    }

    #[test]
    fn a_runtime_with_less_memory_has_the_last_word() {
        let mut body = Admission::with_ceiling(100).buffer("t", 1 << 30);
        body.reach(50).unwrap();
        assert_eq!(body.reach(51), Err(Full::Share));
    }

    #[test]
    fn a_body_is_counted_until_its_last_handle_goes() {
        let admission = Admission::default();
        let mut buffered = admission.buffer("t", 100);
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
        fn a_newcomer_finds_room_whatever_others_do(steps in proptest::collection::vec((0_usize..4, 1_u64..400), 1..100)) {
            const MOST: u64 = 1000;
            let admission = Admission::default();
            let mut bodies: Vec<_> = (0..4).map(|tenant| admission.buffer(&tenant.to_string(), MOST)).collect();
            for (tenant, bytes) in steps {
                if bodies[tenant].reach(bytes).is_err() {
                    bodies[tenant].shrink(bytes);
                }
                prop_assert!(admission.buffered() < MOST);
                prop_assert!(admission.buffer("new", MOST).reach(1).is_ok());
            }
        }
    }
}
