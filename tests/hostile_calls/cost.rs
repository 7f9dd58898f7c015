//! What an attack costs: processor time of this process, and of the server's media threads within it.
//!
//! Only the media threads are the server's alone; the rest of the process is the attacker, the call beside and the
//! signalling together. Time on the processor, unlike time on the wall, hardly depends on what else the machine does.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What the media threads' names begin with (`src/shards/thread.rs`).
const MEDIA: &str = "media-";
/// The clock of `/proc/PID/task/TID/stat` (proc(5), sysconf(3)): 100 a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// What a datagram may cost the media threads, in a build without optimisation. Measured: 5 to 20 µs in floods.
const MEDIA_OF_PACKET: Duration = Duration::from_micros(60);
/// What they may do beside it: the call beside, the clocks of all connections. Measured: 5 % of the time.
const MEDIA_SHARE: f32 = 0.25;
/// Connections that begin, a millisecond each, most of it for certificates and keys.
const MEDIA_ONCE: Duration = Duration::from_secs(1);
/// The same for the whole process, in which the attacker is. Measured: a third of each.
const ALL_OF_PACKET: Duration = Duration::from_micros(150);
const ALL_OF_MESSAGE: Duration = Duration::from_millis(2);
const ALL_SHARE: f32 = 0.5;
const ALL_ONCE: Duration = Duration::from_secs(2);

/// Processor time of each thread when it began.
pub struct Work {
    begun: Instant,
    threads: HashMap<String, Duration>,
}

impl Work {
    pub fn begin() -> Work {
        Work { begun: Instant::now(), threads: threads().into_iter().map(|(id, _, time)| (id, time)).collect() }
    }

    /// The processor time since then is in proportion to these datagrams, and messages of signalling.
    #[track_caller]
    pub fn is_in_proportion(&self, packets: u64, messages: u64) {
        let wall = self.begun.elapsed();
        let (mut media, mut all) = (Duration::ZERO, Duration::ZERO);
        for (id, name, time) in threads() {
            let spent = time.saturating_sub(self.threads.get(&id).copied().unwrap_or_default());
            all += spent;
            if name.starts_with(MEDIA) {
                media += spent;
            }
        }
        let allowed = MEDIA_OF_PACKET * packets as u32 + wall.mul_f32(MEDIA_SHARE) + MEDIA_ONCE;
        assert!(media <= allowed, "the media threads worked {media:?} for {packets} datagrams in {wall:?}");
        let allowed =
            ALL_OF_PACKET * packets as u32 + ALL_OF_MESSAGE * messages as u32 + wall.mul_f32(ALL_SHARE) + ALL_ONCE;
        assert!(all <= allowed, "all worked {all:?} for {packets} datagrams and {messages} messages in {wall:?}");
    }
}

/// Id, name and time of each thread.
fn threads() -> Vec<(String, String, Duration)> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux has it");
    tasks
        .filter_map(|task| {
            let task = task.ok()?;
            // One that ends meanwhile is nobody's.
            let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
            let (head, rest) = stat.rsplit_once(") ")?;
            let fields: Vec<&str> = rest.split(' ').collect();
            let ticks: u32 = fields.get(11)?.parse::<u32>().ok()? + fields.get(12)?.parse::<u32>().ok()?;
            let name = head.split_once('(')?.1.to_owned();
            Some((task.file_name().to_string_lossy().into_owned(), name, TICK * ticks))
        })
        .collect()
}
