//! Lines on their way to a file that may be slow, full or gone.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Lines that may wait, and how many bytes they may have together. What does not fit is dropped.
const MOST_LINES: usize = 16 * 1024;
const MOST_BYTES: usize = 8 << 20;

/// How often a full queue is looked at by whoever wants to end.
const GLANCE: Duration = Duration::from_millis(10);

/// A bounded queue of lines. Putting one in never waits and never fails.
#[derive(Debug)]
pub(super) struct Queue {
    lines: SyncSender<Item>,
    /// Taken by the thread that writes.
    waiting: Mutex<Option<Receiver<Item>>>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
enum Item {
    Line(Vec<u8>),
    /// All lines before this one are written: says so.
    Mark(SyncSender<()>),
}

#[derive(Debug, Default)]
struct Counts {
    /// Bytes of the lines in the queue.
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

impl Default for Queue {
    fn default() -> Self {
        let (lines, waiting) = mpsc::sync_channel(MOST_LINES);
        Self { lines, waiting: Mutex::new(Some(waiting)), counts: Arc::default() }
    }
}

impl Queue {
    /// Starts the thread that writes, at the first call. Once lines are written again after some were dropped,
    /// `tell` is called with how many there are in all; it may put a line into the queue itself.
    pub(super) fn write_to(&self, file: impl Write + Send + 'static, tell: impl Fn(u64) + Send + 'static) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(waiting) = waiting else { return };
        let counts = Arc::clone(&self.counts);
        // Without a thread nothing is written, and what does not fit is counted.
        let _ =
            thread::Builder::new().name("log".into()).spawn(move || write(file, &waiting, &counts, &tell));
    }

    /// Takes whole lines, one a call.
    pub(super) fn writer(&self) -> impl Write + use<> {
        Writer { lines: self.lines.clone(), counts: Arc::clone(&self.counts) }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    /// Waits until what is in the queue is written, but no longer than `patience`.
    pub(super) fn finish(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let (written, all) = mpsc::sync_channel(1);
        let mut mark = Item::Mark(written);
        while let Err(TrySendError::Full(back)) = self.lines.try_send(mark) {
            if Instant::now() >= deadline {
                return;
            }
            mark = back;
            thread::sleep(GLANCE);
        }
        match all.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            // Late or without a thread that writes: nobody waits for the rest.
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }
}

impl Counts {
    fn drop_line(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

struct Writer {
    lines: SyncSender<Item>,
    counts: Arc<Counts>,
}

impl Write for Writer {
    /// Puts `line` into the queue or drops it; either way it is done with.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let length = line.len();
        let before = self.counts.bytes.fetch_add(length, Ordering::Relaxed);
        let fits = before.saturating_add(length) <= MOST_BYTES;
        if !fits || self.lines.try_send(Item::Line(line.to_vec())).is_err() {
            self.counts.bytes.fetch_sub(length, Ordering::Relaxed);
            self.counts.drop_line();
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes line after line. One that cannot be written is dropped; the next is tried all the same, for a disk may
/// have room again.
fn write(mut file: impl Write, waiting: &Receiver<Item>, counts: &Counts, tell: &impl Fn(u64)) {
    let mut told = 0;
    for item in waiting {
        match item {
            Item::Line(line) => {
                let written = file.write_all(&line).and_then(|()| file.flush());
                counts.bytes.fetch_sub(line.len(), Ordering::Relaxed);
                if written.is_err() {
                    counts.drop_line();
                    continue;
                }
                let dropped = counts.dropped.load(Ordering::Relaxed);
                if dropped > told {
                    told = dropped;
                    tell(dropped);
                }
            }
            Item::Mark(written) => _ = written.try_send(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that can be written when the test lets it.
    #[derive(Clone, Debug, Default)]
    struct File {
        kept: Arc<Mutex<Vec<u8>>>,
        gate: Arc<Mutex<()>>,
        is_full: Arc<std::sync::atomic::AtomicBool>,
    }

    impl File {
        fn text(&self) -> String {
            String::from_utf8(self.kept.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for File {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _open = self.gate.lock().unwrap();
            if self.is_full.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.kept.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const LONG: Duration = Duration::from_mins(1);

    /// A queue into `file` that tells of dropped lines there.
    fn queue(file: &File) -> &'static Queue {
        let queue: &'static Queue = Box::leak(Box::default());
        queue.write_to(file.clone(), |dropped| {
            queue.writer().write_all(format!("dropped {dropped}\n").as_bytes()).unwrap();
        });
        queue
    }

    #[test]
    fn lines_are_written_in_their_order() {
        let file = File::default();
        let queue = queue(&file);
        let expected: Vec<String> = (0..1000).map(|number| format!("line {number}")).collect();
        for line in &expected {
            queue.writer().write_all(format!("{line}\n").as_bytes()).unwrap();
        }
        queue.finish(LONG);
        let text = file.text();
        assert_eq!(
            (text.lines().collect::<Vec<_>>(), queue.dropped()),
            (expected.iter().map(String::as_str).collect(), 0)
        );
    }

    #[test]
    fn what_does_not_fit_is_dropped_counted_and_told_when_lines_flow_again() {
        let file = File::default();
        let queue = queue(&file);
        let closed = file.gate.lock().unwrap();
        for _ in 0..2 * MOST_LINES {
            queue.writer().write_all(b"line\n").unwrap();
        }
        let dropped = queue.dropped();
        assert!((MOST_LINES as u64 - 2..=MOST_LINES as u64).contains(&dropped), "{dropped}");
        drop(closed);
        // The line that tells of it comes behind the mark at the latest.
        queue.finish(LONG);
        queue.finish(LONG);
        let text = file.text();
        let told: Vec<u64> =
            text.lines().filter_map(|line| line.strip_prefix("dropped ")?.parse().ok()).collect();
        assert_eq!(told.last(), Some(&queue.dropped()), "{told:?}");
    }

    #[test]
    fn bytes_are_bounded_as_well_as_lines() {
        let file = File::default();
        let queue = queue(&file);
        let closed = file.gate.lock().unwrap();
        let line = vec![b'x'; 1 << 20];
        for _ in 0..64 {
            queue.writer().write_all(&line).unwrap();
        }
        assert_eq!(queue.dropped(), 64 - (MOST_BYTES >> 20) as u64);
        drop(closed);
        // Behind the first mark comes the line that tells of those that were dropped.
        queue.finish(LONG);
        queue.finish(LONG);
        assert_eq!(queue.counts.bytes.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_full_disk_drops_lines_until_it_has_room() {
        let file = File::default();
        let queue = queue(&file);
        file.is_full.store(true, Ordering::SeqCst);
        queue.writer().write_all(b"lost\n").unwrap();
        queue.finish(LONG);
        assert_eq!(queue.dropped(), 1);
        file.is_full.store(false, Ordering::SeqCst);
        queue.writer().write_all(b"kept\n").unwrap();
        queue.finish(LONG);
        queue.finish(LONG);
        assert_eq!(file.text(), "kept\ndropped 1\n");
    }

    #[test]
    fn the_end_does_not_wait_for_who_does_not_read() {
        let file = File::default();
        let queue = queue(&file);
        let _closed = file.gate.lock().unwrap();
        for _ in 0..2 * MOST_LINES {
            queue.writer().write_all(b"line\n").unwrap();
        }
        queue.finish(Duration::from_millis(50));
    }
}
