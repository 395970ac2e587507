//! The comments of vgcfgbackup: sizes and dates for people.

/// `# 4 Megabytes` for a number of sectors: steps of 1024, six significant digits, a unit is left
/// only above 1024 of it.
pub(super) fn size(sectors: u64) -> String {
    const UNITS: [&str; 5] = ["Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Petabytes"];
    // Most are whole.
    let mut whole = 2;
    for unit in UNITS {
        if sectors / whole <= 1024 && sectors.is_multiple_of(whole) {
            return format!("# {} {unit}", sectors / whole);
        }
        if sectors / whole < 1024 {
            break;
        }
        whole <<= 10;
    }
    // Rounds above 2^53, as the six digits printed do anyway.
    #[expect(clippy::cast_precision_loss, reason = "only six digits are shown")]
    let mut number = sectors as f64 / 2.0;
    for unit in UNITS {
        if number <= 1024.0 {
            return format!("# {} {unit}", six_digits(number));
        }
        number /= 1024.0;
    }
    format!("# {} Exabytes", six_digits(number))
}

/// C's `%g` for the range that sizes have (0 or from 0.5 to 8192).
fn six_digits(number: f64) -> String {
    let scientific = format!("{number:.5e}");
    let exponent = scientific.split_once('e').and_then(|(_, exp)| exp.parse::<i32>().ok());
    let decimals = 5i32.saturating_sub(exponent.unwrap_or(0));
    let text = format!("{number:.*}", usize::try_from(decimals).unwrap_or(0));
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A moment in UTC.
struct Civil {
    year: i64,
    month: usize,
    day: i64,
    weekday: usize,
    second_of_day: i64,
}

/// Splits seconds since 1970 by the Gregorian calendar; `None` beyond the year 9999 or before 1970.
fn civil(time: i64) -> Option<Civil> {
    const LAST: i64 = 253_402_300_799;
    if !(0..=LAST).contains(&time) {
        return None;
    }
    let (days, second_of_day) = (time / 86_400, time % 86_400);
    // Years that start in March put the leap day last (days_from_civil, inverted).
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let weekday = usize::try_from((days + 4) % 7).ok()?;
    Some(Civil { year, month: usize::try_from(month).ok()?, day, weekday, second_of_day })
}

impl Civil {
    fn clock(&self) -> String {
        let s = self.second_of_day;
        format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    }
}

/// `# 2026-11-22 04:28:18 +0000`; `None` for a time that no calendar needs.
pub(super) fn date(time: i64) -> Option<String> {
    let at = civil(time)?;
    Some(format!("# {:04}-{:02}-{:02} {} +0000", at.year, at.month, at.day, at.clock()))
}

/// `Sun Nov 22 04:28:17 2026`, as C's `ctime` in UTC.
pub(super) fn ctime(time: i64) -> Option<String> {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let at = civil(time)?;
    let (day, month) = (DAYS.get(at.weekday)?, MONTHS.get(at.month.checked_sub(1)?)?);
    Some(format!("{day} {month} {:2} {} {}", at.day, at.clock(), at.year))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_lvm2() {
        for (sectors, text) in [
            (0, "# 0 Kilobytes"),
            (1, "# 0.5 Kilobytes"),
            (128, "# 64 Kilobytes"),
            (2048, "# 1024 Kilobytes"),
            (8192, "# 4 Megabytes"),
            (819_200, "# 400 Megabytes"),
            (256 * 8192, "# 1024 Megabytes"),
            (281 * 8192, "# 1.09766 Gigabytes"),
            (2049, "# 1.00049 Megabytes"),
            (2050, "# 1.00098 Megabytes"),
            (2 << 20, "# 1024 Megabytes"),
            (3 << 20, "# 1.5 Gigabytes"),
            (1 << 51, "# 1024 Petabytes"),
            (3_907_029_168, "# 1.81935 Terabytes"),
            (2_001 * 2048, "# 1.9541 Gigabytes"),
        ] {
            assert_eq!(size(sectors), text);
        }
        assert!(size(u64::MAX).ends_with("Exabytes"));
    }

    #[test]
    fn dates_are_in_utc() {
        assert_eq!(date(1_795_321_698).as_deref(), Some("# 2026-11-22 04:28:18 +0000"));
        assert_eq!(ctime(1_795_321_697).as_deref(), Some("Sun Nov 22 04:28:17 2026"));
        assert_eq!(ctime(0).as_deref(), Some("Thu Jan  1 00:00:00 1970"));
        assert_eq!(date(951_782_400).as_deref(), Some("# 2000-02-29 00:00:00 +0000"));
        assert_eq!(date(i64::MAX), None);
        assert_eq!(date(-1), None);
    }
}
