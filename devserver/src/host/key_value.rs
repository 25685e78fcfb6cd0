//! Spin's key-value stores, kept in this process: they are empty at start and end with it.
//!
//! Weir itself uses none. They are here so that a component which links them can be served.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::component::{Resource, ResourceTable};

use super::bindings::fermyon::spin::key_value::{Error, Host, HostStore};
use super::server::Settings;

/// Most bytes of keys and values in all stores.
const LARGEST: usize = 64 << 20;

/// What all instances share.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Values>);

#[derive(Default)]
struct Values {
    /// By store and key.
    values: BTreeMap<(String, String), Vec<u8>>,
    bytes: usize,
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// One instance's view of them.
#[derive(Debug)]
pub(super) struct Stores {
    settings: Arc<Settings>,
    open: ResourceTable,
}

/// A store that is open: its name.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct Store(String);

impl Values {
    fn set(&mut self, place: (String, String), value: Vec<u8>) -> Result<(), Error> {
        let key = place.1.len();
        let before = self.values.get(&place).map_or(0, |value| key + value.len());
        let bytes = self.bytes - before + key + value.len();
        if bytes > LARGEST {
            return Err(Error::Other(format!(
                "the stores of this process hold no more than {LARGEST} bytes"
            )));
        }
        self.bytes = bytes;
        self.values.insert(place, value);
        Ok(())
    }

    fn delete(&mut self, place: &(String, String)) {
        if let Some(value) = self.values.remove(place) {
            self.bytes -= place.1.len() + value.len();
        }
    }
}

impl Stores {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self { settings, open: ResourceTable::new() }
    }

    fn kept(&self) -> MutexGuard<'_, Values> {
        self.settings.kept.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, store: &Resource<Store>, key: String) -> Result<(String, String), Error> {
        let Store(name) = self.open.get(store).map_err(|_| Error::NoSuchStore)?;
        Ok((name.clone(), key))
    }
}

impl Host for Stores {}

impl HostStore for Stores {
    async fn open(&mut self, label: String) -> Result<Resource<Store>, Error> {
        if !self.settings.manifest.key_value_stores().contains(&label) {
            return Err(Error::AccessDenied);
        }
        self.open.push(Store(label)).map_err(|_| Error::StoreTableFull)
    }

    async fn get(&mut self, store: Resource<Store>, key: String) -> Result<Option<Vec<u8>>, Error> {
        let place = self.place(&store, key)?;
        Ok(self.kept().values.get(&place).cloned())
    }

    async fn set(&mut self, store: Resource<Store>, key: String, value: Vec<u8>) -> Result<(), Error> {
        let place = self.place(&store, key)?;
        self.kept().set(place, value)
    }

    async fn delete(&mut self, store: Resource<Store>, key: String) -> Result<(), Error> {
        let place = self.place(&store, key)?;
        self.kept().delete(&place);
        Ok(())
    }

    async fn exists(&mut self, store: Resource<Store>, key: String) -> Result<bool, Error> {
        let place = self.place(&store, key)?;
        Ok(self.kept().values.contains_key(&place))
    }

    async fn get_keys(&mut self, store: Resource<Store>) -> Result<Vec<String>, Error> {
        let (name, _) = self.place(&store, String::new())?;
        Ok(self.kept().values.keys().filter(|(of, _)| *of == name).map(|(_, key)| key.clone()).collect())
    }

    async fn drop(&mut self, store: Resource<Store>) -> wasmtime::Result<()> {
        self.open.delete(store)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_as_values_come_and_go() {
        let place = |key: &str| ("default".to_owned(), key.to_owned());
        let mut values = Values::default();
        values.set(place("ab"), vec![0; 10]).unwrap();
        assert_eq!(values.bytes, 12);
        values.set(place("ab"), vec![0; 4]).unwrap();
        assert_eq!(values.bytes, 6);
        assert!(values.set(place("c"), vec![0; LARGEST]).is_err());
        assert_eq!(values.bytes, 6);
        values.delete(&place("ab"));
        values.delete(&place("ab"));
        assert_eq!(values.bytes, 0);
    }
}
