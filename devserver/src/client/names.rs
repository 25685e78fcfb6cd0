//! Names as the machine resolves them: each once at a time, and on a bounded number of threads. A resolver that is
//! silent holds a thread for as long as it likes, so there must be no more of them than a few.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs as _, UdpSocket};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};
use weir::ledger::connect_fault::ConnectFault;

use super::network::shortage;

/// Names that are looked up at the same time. One more waits for its turn, in its own `timeout.connect`.
const MOST_LOOKUPS: usize = 32;

/// Addresses of a name that are used.
const MOST_ADDRESSES: usize = 16;

/// The process has one resolver.
pub(super) static NAMES: LazyLock<Arc<Names>> =
    LazyLock::new(|| Arc::new(Names::new(MOST_LOOKUPS, of_machine)));

type Answer = Result<Arc<[IpAddr]>, ConnectFault>;

type Resolver = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Lookups under way.
pub(super) struct Names {
    in_flight: Mutex<HashMap<String, watch::Receiver<Option<Answer>>>>,
    threads: Arc<Semaphore>,
    resolver: Arc<Resolver>,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").finish_non_exhaustive()
    }
}

impl Names {
    fn new(most: usize, resolver: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        let threads = Arc::new(Semaphore::new(most));
        Self { in_flight: Mutex::default(), threads, resolver: Arc::new(resolver) }
    }

    /// The addresses of `host`, at least one. Whoever asks meanwhile waits for the same answer.
    pub(super) async fn resolve(self: &Arc<Self>, host: &str) -> Answer {
        let mut answer = self.ask(host);
        let answer = answer.wait_for(Option::is_some).await;
        // A lookup whose runtime has ended says nothing.
        answer.ok().and_then(|answer| answer.clone()).unwrap_or(Err(ConnectFault::NameUnresolved))
    }

    fn ask(self: &Arc<Self>, host: &str) -> watch::Receiver<Option<Answer>> {
        let mut in_flight = self.in_flight();
        if let Some(known) = in_flight.get(host).filter(|known| known.has_changed().is_ok()) {
            return known.clone();
        }
        let (tell, answer) = watch::channel(None);
        in_flight.insert(host.to_owned(), answer.clone());
        let (names, host) = (Arc::clone(self), host.to_owned());
        tokio::spawn(async move {
            let found = names.look_up(&host).await;
            names.in_flight().remove(&host);
            // Nobody may be there any more.
            let _ = tell.send(Some(found));
        });
        answer
    }

    async fn look_up(&self, host: &str) -> Answer {
        let unresolved = ConnectFault::NameUnresolved;
        let permit = Arc::clone(&self.threads).acquire_owned().await.map_err(|_| unresolved)?;
        let (resolver, host) = (Arc::clone(&self.resolver), host.to_owned());
        let looked_up = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            resolver(&host)
        });
        match looked_up.await {
            Ok(Ok(mut found)) if !found.is_empty() => {
                found.truncate(MOST_ADDRESSES);
                Ok(found.into())
            }
            Ok(Ok(_)) | Err(_) => Err(unresolved),
            Ok(Err(error)) => Err(shortage(&error).or_else(shortage_now).unwrap_or(unresolved)),
        }
    }

    fn in_flight(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<Option<Answer>>>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_machine(host: &str) -> io::Result<Vec<IpAddr>> {
    let mut found: Vec<IpAddr> = Vec::new();
    for address in (host, 0).to_socket_addrs()? {
        if !found.contains(&address.ip()) {
            found.push(address.ip());
        }
    }
    Ok(found)
}

/// A resolver that cannot open its files or a socket says that there is no such name.
fn shortage_now() -> Option<ConnectFault> {
    UdpSocket::bind(("127.0.0.1", 0)).err().as_ref().and_then(shortage)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;

    /// A resolver that answers once the test has said so, each time.
    fn gated(most: usize) -> (Arc<Names>, mpsc::Sender<()>, Arc<AtomicUsize>) {
        let (open, gate) = mpsc::channel();
        let (gate, begun) = (Mutex::new(gate), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&begun);
        let names = Names::new(most, move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            gate.lock().unwrap().recv().unwrap();
            Ok(vec![IpAddr::from([127, 0, 0, 1])])
        });
        (Arc::new(names), open, begun)
    }

    async fn until_begun(begun: &AtomicUsize, count: usize) {
        while begun.load(Ordering::SeqCst) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn all_who_ask_for_a_name_share_one_lookup() {
        let (names, open, begun) = gated(4);
        let asking = (0..50).map(|_| {
            let names = Arc::clone(&names);
            tokio::spawn(async move { names.resolve("a.example").await })
        });
        let asking: Vec<_> = asking.collect();
        until_begun(&begun, 1).await;
        open.send(()).unwrap();
        for answer in join_all(asking).await {
            assert!(answer.unwrap().is_ok());
        }
        assert_eq!(begun.load(Ordering::SeqCst), 1);
        // The next one asks anew: addresses change.
        open.send(()).unwrap();
        assert!(names.resolve("a.example").await.is_ok());
        assert_eq!(begun.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_silent_resolver_holds_no_more_threads_than_there_may_be() {
        let (names, open, begun) = gated(4);
        let hosts: Vec<String> = (0..20).map(|number| format!("{number}.example")).collect();
        let asking = hosts.iter().map(|host| {
            let (names, host) = (Arc::clone(&names), host.clone());
            tokio::spawn(async move {
                let patience = Duration::from_millis(20);
                tokio::time::timeout(patience, names.resolve(&host)).await.is_err()
            })
        });
        for is_late in join_all(asking.collect::<Vec<_>>()).await {
            assert!(is_late.unwrap(), "nobody waits longer than it wants to");
        }
        until_begun(&begun, 4).await;
        assert_eq!(begun.load(Ordering::SeqCst), 4);
        for _ in &hosts {
            open.send(()).unwrap();
        }
        for host in &hosts {
            open.send(()).unwrap();
            assert!(names.resolve(host).await.is_ok(), "{host}");
        }
    }
}
