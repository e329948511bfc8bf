//! An adapter for `vhost-inflight check-vectors --form text`, around the recovery of a split ring in Rust.
//!
//! No crates: `rustc -O split.rs`, or the file as `src/main.rs` of a package. What is between the two
//! lines of `----` stands for your back-end: call it there instead. It says that it has split rings and states alone;
//! the vectors about packed rings and lives are then counted as `unsupported`.

use std::collections::HashMap;
use std::io::{self, BufRead, Write};

type Parts = HashMap<String, Vec<u8>>;

/// Who broke a rule; of a region: the back-end that stored it.
#[derive(Debug)]
enum Culprit {
    FrontEnd,
    Driver,
    BackEnd,
}

struct Recovered {
    resubmit: Vec<u16>,
    next_avail: u16,
    used: u16,
    counter: u64,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

// ---- the back-end: on real memory these are volatile or atomic stores, in this order; recover.c says which and why

const VERSION: usize = 8;
const DESC_NUM: usize = 10;
const LAST_BATCH_HEAD: usize = 12;
const USED_IDX: usize = 14;
const HEADER: usize = 16;
const ENTRY: usize = 16; // inflight 0, next 6, counter 8

fn recover(parts: &mut Parts, size: usize, entries: usize) -> Result<Recovered, Culprit> {
    let short = |name: &str, bytes: usize| parts.get(name).map_or(true, |part| part.len() < bytes);
    if !size.is_power_of_two() || size > 32768 || entries < size || entries > 32768 {
        return Err(Culprit::FrontEnd);
    }
    if short("region", HEADER + ENTRY * entries) || short("descriptors", 16 * size) {
        return Err(Culprit::FrontEnd);
    }
    if short("available", 4 + 2 * size) || short("used", 4 + 8 * size) {
        return Err(Culprit::FrontEnd);
    }
    let used = u16_at(&parts["used"], 2);
    let avail = u16_at(&parts["available"], 2);
    let table = parts["descriptors"].clone();
    let region = parts.get_mut("region").expect("it was looked at");
    match u16_at(region, VERSION) {
        0 => {
            put(region, DESC_NUM, entries as u16);
            put(region, USED_IDX, used); // the ring may have been in use
            put(region, VERSION, 1); // last
        }
        1 if u16_at(region, DESC_NUM) as usize == entries => {}
        _ => return Err(Culprit::BackEnd),
    }
    // 1. what was published last is not inflight
    let batch = used.wrapping_sub(u16_at(region, USED_IDX));
    if batch as usize > size {
        return Err(Culprit::BackEnd);
    }
    let mut entry = u16_at(region, LAST_BATCH_HEAD) as usize;
    for _ in 0..batch {
        if entry >= entries {
            return Err(Culprit::BackEnd);
        }
        region[HEADER + ENTRY * entry] = 0;
        entry = u16_at(region, HEADER + ENTRY * entry + 6) as usize;
    }
    put(region, USED_IDX, used);
    // 2. what is left is resubmitted, in the order of the counters
    let mut inflight = Vec::new();
    for entry in 0..entries {
        match region[HEADER + ENTRY * entry] {
            0 => {}
            1 if entry < size => inflight.push((u64_at(region, HEADER + ENTRY * entry + 8), entry as u16)),
            _ => return Err(Culprit::BackEnd),
        }
    }
    inflight.sort_unstable();
    let counter = match inflight.last() {
        Some(&(greatest, _)) => greatest.checked_add(1).ok_or(Culprit::BackEnd)?,
        None => 0,
    };
    for &(_, head) in &inflight {
        check_chain(&table, size, head as usize)?;
    }
    let next_avail = used.wrapping_add(inflight.len() as u16);
    if avail.wrapping_sub(next_avail) as usize > size {
        return Err(Culprit::Driver);
    }
    Ok(Recovered { resubmit: inflight.into_iter().map(|(_, head)| head).collect(), next_avail, used, counter })
}

/// Follow a chain as the device will: it ends within the table, and nothing to be read comes after what is written.
fn check_chain(table: &[u8], size: usize, head: usize) -> Result<(), Culprit> {
    let (mut entry, mut written) = (head, false);
    for _ in 0..size {
        if entry >= size {
            return Err(Culprit::Driver);
        }
        let (length, flags) = (u64_at(table, 16 * entry + 8) & 0xffff_ffff, u16_at(table, 16 * entry + 12));
        if flags & 4 != 0 {
            let whole = length != 0 && length % 16 == 0 && length <= 16 * 32768 && flags & 1 == 0;
            return if whole { Ok(()) } else { Err(Culprit::Driver) }; // a back-end checks the indirect table too
        }
        if written && flags & 2 == 0 || length > 0 && u64_at(table, 16 * entry).checked_add(length - 1).is_none() {
            return Err(Culprit::Driver);
        }
        written = flags & 2 != 0;
        if flags & 1 == 0 {
            return Ok(());
        }
        entry = u16_at(table, 16 * entry + 14) as usize;
    }
    Err(Culprit::Driver)
}

// ---- the adapter

fn bytes(word: &str) -> Vec<u8> {
    let digits = if word == "-" { "" } else { word };
    (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).expect("hex")).collect()
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_string();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn answer(id: &str, lines: &[String]) -> String {
    let mut parts = Parts::new();
    let (mut size, mut entries) = (0, 0);
    for line in lines {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["queue_size", number] => size = number.parse().expect("a number"),
            ["region_size", number] => entries = number.parse().expect("a number"),
            [name @ ("region" | "descriptors" | "available" | "used"), content] => {
                parts.insert(name.to_string(), bytes(content));
            }
            _ => {} // SET_VRING_BASE, where the region lies in its buffer, the guest's memory
        }
    }
    match recover(&mut parts, size, entries) {
        Err(Culprit::FrontEnd) => format!("refused {id} front-end\n"),
        Err(Culprit::Driver) => format!("refused {id} driver\n"),
        Err(Culprit::BackEnd) => format!("refused {id} back-end\n"),
        Ok(found) => {
            let mut said = format!("result {id}\nresubmit");
            for head in &found.resubmit {
                said += &format!(" {head}");
            }
            said += &format!("\nnext_avail {}\nused {}\ncounter {}\n", found.next_avail, found.used, found.counter);
            for (name, content) in &parts {
                said += &format!("after {name} {}\n", hex(content));
            }
            said
        }
    }
}

fn main() -> io::Result<()> {
    let mut message = Vec::new();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line != "end" {
            message.push(line);
            continue;
        }
        let said = match message[0].split(' ').collect::<Vec<_>>()[..] {
            ["start", ..] => "ready 1 split.rs\nrings split\nkinds state seen\nrevisions merged hardened\n".to_string(),
            ["run", id, _] => answer(id, &message[1..]),
            _ => return Ok(()), // stop
        };
        print!("{said}end\n");
        io::stdout().flush()?;
        message.clear();
    }
    Ok(())
}
