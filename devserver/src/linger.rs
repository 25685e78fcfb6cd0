//! Reads on behind an answer that came before its request's end, and throws away what it reads.
//!
//! A socket that is closed while its client still sends is reset, and the client sees a broken connection in place
//! of the refusal that was sent to it. So the body of a refused request is read on, as nginx's `lingering_close` does
//! it: up to a number of bytes, for a time, and not for a client that has fallen silent. Read to its end it leaves
//! the connection as good as new. Nothing else of the request is held meanwhile: its books are closed.
//!
//! HTTP/2 needs none of it: there a stream is reset by itself, behind the answer (RFC 9113, 8.1). A client that asks
//! before it sends (`Expect: 100-continue`) is not asked to send, and the connection ends.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Version, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

/// For one body, from its refusal.
const LONGEST: Duration = Duration::from_secs(30);

/// Behind it a client is taken to send no more, unless less is given to bodies that are wanted.
const SILENCE: Duration = Duration::from_secs(5);

/// Bytes of one body: those of the largest file that `OpenAI` takes.
const MOST_BYTES: u64 = 512 << 20;

/// Bodies of one thread at the same time; more are not waited for.
const MOST_BODIES: usize = 256;

/// Where a thread reads on.
#[derive(Clone, Debug)]
pub(crate) struct Linger {
    places: Arc<Semaphore>,
    stop: CancellationToken,
    silence: Duration,
}

impl Linger {
    /// Reads on until `stop`.
    pub(crate) fn new(stop: CancellationToken) -> Self {
        Self { places: Arc::new(Semaphore::new(MOST_BODIES)), stop, silence: SILENCE }
    }

    /// Is no more patient than `silence`.
    pub(crate) fn within(&self, silence: Duration) -> Self {
        Self { silence: silence.min(SILENCE), ..self.clone() }
    }

    /// Reads `body` to its end or to a bound. Dropped before its end, it takes the connection with it.
    fn read_on<B: Body<Data = Bytes> + Send + Unpin + 'static>(&self, mut body: B) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        // Where the runtime has gone the connection has.
        let Ok(runtime) = Handle::try_current() else { return };
        let (stop, silence) = (self.stop.clone(), self.silence);
        runtime.spawn(async move {
            let _place = place;
            let reading = async {
                let mut left = MOST_BYTES;
                while let Ok(Some(Ok(frame))) = timeout(silence, body.frame()).await {
                    let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                    let Some(rest) = left.checked_sub(length) else { return };
                    left = rest;
                }
            };
            let reading = timeout_at(Instant::now() + LONGEST, reading);
            // However it ends, it is over.
            let _ = stop.run_until_cancelled(reading).await;
        });
    }
}

/// A request's body. What nobody wants of it is read on.
#[derive(Debug)]
pub(crate) struct Upload<B: Body<Data = Bytes> + Send + Unpin + 'static> {
    /// Taken at its end.
    body: Option<B>,
    /// `None` where nothing is to be read on.
    linger: Option<Linger>,
    asks: Option<Asking>,
}

/// Whether a client that asks before it sends has been told to send.
#[derive(Clone, Debug)]
pub(crate) struct Asking(Arc<AtomicBool>);

impl Asking {
    /// Of a request that asks.
    pub(crate) fn of(version: Version, headers: &HeaderMap) -> Option<Self> {
        let asks = headers.get(header::EXPECT)?.as_bytes().eq_ignore_ascii_case(b"100-continue");
        (asks && version == Version::HTTP_11).then(|| Self(Arc::default()))
    }

    /// Whether it is to be told in the answer that the connection ends: it may send its body nevertheless, or the
    /// next request in its place, and nobody could tell which.
    pub(crate) fn is_unheard(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Upload<B> {
    pub(crate) fn new(body: B, version: Version, linger: &Linger, asks: Option<Asking>) -> Self {
        let is_whole = body.is_end_stream();
        let linger = (version != Version::HTTP_2 && !is_whole).then(|| linger.clone());
        Self { body: Some(body), linger, asks }
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Body for Upload<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(Asking(is_heard)) = self.asks.take() {
            is_heard.store(true, Ordering::Relaxed);
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Drop for Upload<B> {
    fn drop(&mut self) {
        // Whoever still asks has not been told to send.
        let Some(linger) = self.linger.take().filter(|_| self.asks.is_none()) else { return };
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            linger.read_on(body);
        }
    }
}

/// Says that the connection ends.
pub(crate) fn close(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::AtomicUsize;

    use http_body_util::StreamBody;

    use super::*;

    /// A body without end, and how many of its bytes were taken. It sends each `pause`, and is `held` while it is.
    fn endless(
        pause: Duration,
        held: &Arc<()>,
    ) -> (impl Body<Data = Bytes> + Send + Unpin + use<>, Arc<AtomicUsize>) {
        let (taken, held) = (Arc::new(AtomicUsize::new(0)), Arc::clone(held));
        let counter = Arc::clone(&taken);
        let stream = futures_util::stream::unfold(held, move |held| {
            let counter = Arc::clone(&counter);
            async move {
                tokio::time::sleep(pause).await;
                counter.fetch_add(1 << 20, Ordering::Relaxed);
                Some((Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; 1 << 20]))), held))
            }
        });
        (StreamBody::new(Box::pin(stream)), taken)
    }

    fn refused(body: impl Body<Data = Bytes> + Send + Unpin + 'static, linger: &Linger) {
        drop(Upload::new(body, Version::HTTP_11, linger, None));
    }

    async fn until_gone(held: &Arc<()>) {
        while Arc::strong_count(held) > 1 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_read_on_within_each_bound() {
        let (linger, started) = (Linger::new(CancellationToken::new()), Instant::now());
        for (name, pause, megabytes, seconds) in [
            ("bytes", Duration::from_millis(1), 512..=514, 0..=2),
            ("time", Duration::from_secs(1), 28..=30, 29..=31),
            ("silence", Duration::from_secs(6), 0..=0, 4..=6),
        ] {
            let (held, started) = (Arc::new(()), Instant::now());
            let (body, taken) = endless(pause, &held);
            refused(body, &linger);
            until_gone(&held).await;
            let read = taken.load(Ordering::Relaxed) >> 20;
            assert!(megabytes.contains(&read), "{name}: {read} MiB");
            let took = started.elapsed().as_secs();
            assert!(seconds.contains(&took), "{name}: {took} s");
        }
        assert!(started.elapsed() < Duration::from_mins(2));
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_bodies_are_read_on_and_none_behind_the_end() {
        let stop = CancellationToken::new();
        let (linger, held) = (Linger::new(stop.clone()), Arc::new(()));
        for _ in 0..MOST_BODIES + 10 {
            refused(endless(Duration::from_secs(1), &held).0, &linger);
        }
        assert_eq!(Arc::strong_count(&held), MOST_BODIES + 1);
        stop.cancel();
        until_gone(&held).await;
        assert_eq!(linger.places.available_permits(), MOST_BODIES);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_whole_or_asked_for_first_or_on_http_2_is_not_read_on() {
        let linger = Linger::new(CancellationToken::new());
        let held = Arc::new(());
        let mut asks = HeaderMap::new();
        asks.insert(header::EXPECT, HeaderValue::from_static("100-Continue"));
        let asking = Asking::of(Version::HTTP_11, &asks).unwrap();
        drop(Upload::new(endless(SILENCE, &held).0, Version::HTTP_11, &linger, Some(asking.clone())));
        drop(Upload::new(endless(SILENCE, &held).0, Version::HTTP_2, &linger, None));
        drop(Upload::new(http_body_util::Empty::<Bytes>::new(), Version::HTTP_11, &linger, None));
        assert_eq!((Arc::strong_count(&held), linger.places.available_permits()), (1, MOST_BODIES));
        assert!(asking.is_unheard());
        let mut heard =
            Upload::new(endless(SILENCE, &held).0, Version::HTTP_11, &linger, Some(asking.clone()));
        assert!(timeout(Duration::from_millis(1), heard.frame()).await.is_err());
        assert!(!asking.is_unheard());
        drop(heard);
        assert_eq!(linger.places.available_permits(), MOST_BODIES - 1, "it was told to send");
    }
}
