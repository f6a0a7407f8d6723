//! Times, as operators write and read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use outbox::store::operator::When;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// An RFC 3339 time, or how long ago.
pub(crate) fn parse(text: &str) -> Result<When, String> {
    if let Ok(ago) = duration(text) {
        return Ok(When::Ago(ago));
    }
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "write 2026-05-04T12:30:00Z, or how long ago: 90s, 15m, 2h, 3d, 1w".to_owned())?;
    let time = SystemTime::from(time);
    if time < UNIX_EPOCH {
        return Err("there was no email then".to_owned());
    }
    Ok(When::At(time))
}

/// A number and a unit: s, m, h, d or w.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and a unit: 90s, 15m, 2h, 3d, 1w".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let duration = Duration::from_secs(u64::from(number) * seconds);
    if duration > LONGEST {
        return Err("that is more than a hundred years".to_owned());
    }
    Ok(duration)
}

const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

/// `2026-05-04 12:30:00 UTC`
pub(crate) fn human(time: SystemTime) -> String {
    format(time, ' ', "", " UTC")
}

/// `2026-05-04T12:30:00.123456Z`
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    format(time, 'T', &format!(".{:06}", since.subsec_micros()), "Z")
}

fn format(time: SystemTime, separator: char, fraction: &str, zone: &str) -> String {
    // The server's years have four digits.
    let time = OffsetDateTime::from(time);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{fraction}{zone}")
}

/// `2 h ago`, `in 5 min`.
pub(crate) fn relative(time: SystemTime, now: SystemTime) -> String {
    match now.duration_since(time) {
        Ok(ago) if ago.as_secs() == 0 => "just now".to_owned(),
        Ok(ago) => format!("{} ago", rough(ago)),
        Err(ahead) => format!("in {}", rough(ahead.duration())),
    }
}

/// The two are the same to somebody who reads seconds.
pub(crate) fn is_same_second(one: SystemTime, other: SystemTime) -> bool {
    let distance = one.duration_since(other).unwrap_or_else(|ahead| ahead.duration());
    distance < Duration::from_secs(1)
}

/// A duration in its largest fitting unit, rounded down.
pub(crate) fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{When, duration, human, parse, relative, rfc3339, rough};

    #[test]
    fn times_are_read_both_ways() {
        assert_eq!(parse("2h"), Ok(When::Ago(Duration::from_hours(2))));
        let at = When::At(UNIX_EPOCH + Duration::from_mins(29_631_630));
        assert_eq!(parse("2026-05-04T12:30:00Z"), Ok(at));
        assert_eq!(parse("2026-05-04T14:30:00+02:00"), Ok(at));
        for wrong in
            ["", "h", "2", "-2h", "2 h", "2y", "yesterday", "2026-05-04", "1969-01-01T00:00:00Z", "é"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(duration("99999999w").is_err());
    }

    #[test]
    fn times_are_written_in_utc() {
        let time = UNIX_EPOCH + Duration::from_micros(1_777_897_800_000_042);
        assert_eq!(human(time), "2026-05-04 12:30:00 UTC");
        assert_eq!(rfc3339(time), "2026-05-04T12:30:00.000042Z");
        assert_eq!(relative(time, time + Duration::from_mins(5)), "5 min ago");
        assert_eq!(relative(time + Duration::from_hours(3), time), "in 3 h");
        assert_eq!(rough(Duration::from_hours(49)), "2 days");
    }
}
