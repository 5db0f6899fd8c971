//! The reference's rows: which lines of a table's files are rows, and what their fields mean.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::Answer;

/// Calls `row` with the used columns of each row of a table; `None` rejects it.
pub fn read_table<const N: usize>(
    data: &Path,
    table: &str,
    columns: &[&str; N],
    answer: &mut Answer,
    mut row: impl FnMut([&str; N]) -> Option<()>,
) {
    let paths = fs::read_dir(data.join(table)).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| is_csv(path.to_str().unwrap())).collect();
    paths.sort();
    let mut count = 0;
    for path in paths {
        let content = read_file(&path);
        let name = format!("{table}/{}", path.file_name().unwrap().to_str().unwrap());
        let lines = content.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let mut lines = (1..).zip(lines).filter(|(_, line)| !line.is_empty());
        let header = split(lines.next().unwrap().1).unwrap();
        let places = columns.map(|column| header.iter().position(|name| name == column.as_bytes()).unwrap());
        for (number, line) in lines {
            count += 1;
            let fields = split(line).filter(|fields| fields.len() == header.len() && line.len() <= 65_536);
            let read = fields.and_then(|fields| {
                let used: Option<Vec<&str>> = places.iter().map(|&place| str::from_utf8(&fields[place]).ok()).collect();
                row(used?.try_into().ok()?)
            });
            if read.is_none() {
                answer.rejected.push((name.clone(), number));
            }
        }
    }
    answer.rows.insert(table.to_owned(), count);
}

fn is_csv(name: &str) -> bool {
    name.ends_with(".csv") || name.ends_with(".csv.gz")
}

/// A file's content, decompressed, without its byte order mark.
fn read_file(path: &Path) -> Vec<u8> {
    let mut content = fs::read(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "gz") {
        let compressed = std::mem::take(&mut content);
        flate2::read::MultiGzDecoder::new(compressed.as_slice()).read_to_end(&mut content).unwrap();
    }
    match content.strip_prefix(b"\xef\xbb\xbf") {
        Some(behind) => behind.to_vec(),
        None => content,
    }
}

/// A line's fields; `None` if a quote isn't closed or something follows a closing one.
fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut fields = vec![Vec::new()];
    let mut bytes = line.iter().copied().peekable();
    loop {
        let quoted = bytes.next_if_eq(&b'"').is_some();
        loop {
            match bytes.next() {
                None if quoted => return None,
                None => return Some(fields),
                Some(b'"') if quoted && bytes.next_if_eq(&b'"').is_none() => match bytes.next() {
                    None => return Some(fields),
                    Some(b',') => break,
                    Some(_) => return None,
                },
                Some(b',') if !quoted => break,
                Some(byte) => fields.last_mut()?.push(byte),
            }
        }
        fields.push(Vec::new());
    }
}

/// `digits` or `digits.0`, at most 18 digits.
pub fn whole_number(text: &str) -> Option<u64> {
    let digits = text.strip_suffix(".0").unwrap_or(text);
    (is_digits(digits) && digits.len() <= 18).then(|| digits.parse().unwrap())
}

/// `-?digits`, or with one to four decimals, below 10^14; in ten-thousandths.
pub fn amount(text: &str) -> Option<i128> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, decimals) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    if !is_digits(whole) || !is_digits(decimals) || decimals.len() > 4 || whole.trim_start_matches('0').len() > 14 {
        return None;
    }
    let amount: i128 = format!("0{}{decimals:0<4}", whole.trim_start_matches('0')).parse().unwrap();
    Some(if text.starts_with('-') { -amount } else { amount })
}

/// `YYYY-MM-DD HH:MM:SS`, a day of the calendar and a time of the day.
pub fn time(text: &str) -> Option<()> {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    if shape != "0000-00-00 00:00:00" {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<u32>().unwrap();
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let leap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0;
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    ((1..=days).contains(&day) && number(11, 13) < 24 && number(14, 16) < 60 && number(17, 19) < 60).then_some(())
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
