//! Dates as JSON APIs write them.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A member with an RFC 3339 date, as Unix time; `None` where it is missing or none.
pub(crate) fn unix_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_str().and_then(parse))
}

/// `2017-07-11T18:45:37.098Z` or with an offset (RFC 3339 section 5.6), from 1970 on.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-')?;
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let [hour, minute, second] = numbers(clock, ':')?;
    let fits =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !fits || !(1970..=9999).contains(&year) {
        return None;
    }
    let seconds = days_from_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let seconds = u64::try_from(seconds.checked_sub(offset(zone)?)?).ok()?;
    Some(Duration::new(seconds, nanoseconds(fraction)?))
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let mut parts = text.split(between).map(|part| {
        let digits = (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse().ok().filter(|_| digits)
    });
    let found = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(found)
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let [hours, minutes, _] = numbers(&format!("{}:0", zone.get(1..)?), ':')?;
    Some(sign * (hours * 3600 + minutes * 60))
}

fn nanoseconds(fraction: &str) -> Option<u32> {
    let digits = fraction.get(..fraction.len().min(9))?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{digits:0<9}").parse().ok()
}

/// Days since 1 January 1970, by counting from March, so that the leap day comes last.
fn days_from_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_to_the_millisecond_and_what_is_none_is_none() {
        let at = |text| parse(text).map(|time| time.as_millis());
        assert_eq!(at("2017-07-11T18:45:37.098Z"), Some(1_499_798_737_098));
        assert_eq!(at("2018-06-25T20:22:28.104Z"), Some(1_529_958_148_104));
        assert_eq!(at("2018-06-25T22:22:28.104+02:00"), Some(1_529_958_148_104));
        assert_eq!(at("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(at("2000-02-29T23:59:59-01:00"), Some(951_872_399_000));
        for none in [
            "",
            "yesterday",
            "2017-07-11",
            "2017-13-11T18:45:37Z",
            "2017-07-11T18:45:37",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(at(none), None, "{none}");
        }
        assert_eq!(at("2017-07-11T18:45:37.é98Z"), None);
        assert_eq!(at("2017-07-11T18:45:37+é"), None);
    }
}
