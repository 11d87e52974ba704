//! Calendar arithmetic, as far as retention needs it: which hour, day, week, month or year a moment lies in, and what
//! lies a number of years, months, days and hours before it. The proleptic Gregorian calendar; weeks are those of ISO 8601,
//! which begin on Monday.

/// How the clocks on the wall relate to UTC. Both sides are nanoseconds since 1970; on the wall they are counted as if
/// the wall showed UTC.
pub trait LocalTime {
    /// What the clock on the wall shows at a moment.
    fn wall(&self, moment: i64) -> i128;

    /// The moment at which the clock on the wall shows this. Where it shows it twice or never (when clocks are changed),
    /// one of the two moments that it could be.
    fn moment(&self, wall: i128) -> i128;
}

/// Where the clocks on the wall show UTC.
#[derive(Debug, Clone, Copy, Default)]
pub struct Utc;

impl LocalTime for Utc {
    fn wall(&self, moment: i64) -> i128 {
        i128::from(moment)
    }

    fn moment(&self, wall: i128) -> i128 {
        wall
    }
}

const HOUR: i128 = 3_600_000_000_000;
const DAY: i128 = 24 * HOUR;

/// A stretch of the calendar of which one snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// From :00 to :59.
    Hour,
    /// From 00:00 to 23:59.
    Day,
    /// From Monday to Sunday.
    Week,
    /// From the first to the last of a month.
    Month,
    /// From January to December.
    Year,
}

impl Period {
    /// All of them, the shortest first.
    pub const ALL: [Period; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// As people say it: `daily`.
    pub fn adverb(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    /// What tells apart the periods of two moments, of which `wall` is what the wall shows. When clocks go back, the wall
    /// shows an hour twice: these are two hours, and one day.
    pub(super) fn key(self, moment: i64, wall: i128) -> (i128, i128) {
        match self {
            Self::Hour => (self.number(wall), wall - i128::from(moment)),
            _ => (self.number(wall), 0),
        }
    }

    /// The number of the period in which the wall shows this time: equal for times in the same period, growing with time.
    pub(super) fn number(self, wall: i128) -> i128 {
        let day = wall.div_euclid(DAY);
        match self {
            Self::Hour => wall.div_euclid(HOUR),
            Self::Day => day,
            // The day 0 was a Thursday.
            Self::Week => (day + 3).div_euclid(7),
            Self::Month => {
                let (year, month, _) = date_of(day);
                year * 12 + month - 1
            }
            Self::Year => date_of(day).0,
        }
    }
}

/// A length of time as people count it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Years of the calendar.
    pub years: u32,
    /// Months of the calendar.
    pub months: u32,
    /// Days of the calendar.
    pub days: u32,
    /// Hours of 60 minutes.
    pub hours: u32,
}

impl Span {
    /// Reads something like `2y5m7d3h`: years, months, days and hours, any of them, in any order, each at most once. A
    /// week, `w`, is seven days.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is no duration: write it like 2y5m7d3h, which is 2 years, 5 months, 7 days and 3 hours")
        };
        let (mut span, mut seen, mut rest) = (Self::default(), Vec::new(), text.trim());
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let number: u32 = rest[..end].parse().map_err(|_| wrong())?;
            let unit = rest[end..].chars().next().ok_or_else(wrong)?;
            if seen.contains(&unit) {
                return Err(wrong());
            }
            seen.push(unit);
            rest = &rest[end + unit.len_utf8()..];
            match unit {
                'y' => span.years = number,
                'm' => span.months = number,
                'w' => {
                    let days = number.checked_mul(7).and_then(|days| days.checked_add(span.days));
                    span.days = days.ok_or_else(wrong)?;
                }
                'd' => span.days = span.days.checked_add(number).ok_or_else(wrong)?,
                'h' => span.hours = number,
                _ => return Err(wrong()),
            }
        }
        match seen.is_empty() {
            true => Err(wrong()),
            false => Ok(span),
        }
    }

    /// Whether it is no time at all.
    pub fn is_zero(self) -> bool {
        self == Self::default()
    }

    /// The moment that lies this span before another: first years, months and days on the calendar at the same time of day, then
    /// hours. A month before the 31st of one that follows a shorter month overflows into that month, as it does in
    /// restic: one month before March 31 is March 3 (or 2).
    pub(super) fn before(self, moment: i64, zone: &dyn LocalTime) -> i128 {
        let wall = zone.wall(moment);
        let (day, time) = (wall.div_euclid(DAY), wall.rem_euclid(DAY));
        let (year, month, of_month) = date_of(day);
        let months = (year - i128::from(self.years)) * 12 + month - 1 - i128::from(self.months);
        let first = day_of(months.div_euclid(12), months.rem_euclid(12) + 1);
        let day = first + of_month - 1 - i128::from(self.days);
        zone.moment(day * DAY + time) - i128::from(self.hours) * HOUR
    }
}

impl<'de> serde::Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::values::from_text(deserializer, Self::parse)
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [(self.years, 'y'), (self.months, 'm'), (self.days, 'd'), (self.hours, 'h')];
        if self.is_zero() {
            return f.write_str("0h");
        }
        parts.iter().filter(|(number, _)| *number > 0).try_for_each(|(number, unit)| write!(f, "{number}{unit}"))
    }
}

/// The day on which a month begins, counted from 1970-01-01. Years are counted from March here, so that the day that is
/// there only sometimes is the last one.
fn day_of(year: i128, month: i128) -> i128 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month (from 1 on) and day of the month (from 1 on) of a day that is counted from 1970-01-01.
fn date_of(day: i128) -> (i128, i128, i128) {
    let since = day + 719_468;
    let (era, of_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    (year + era * 400, month, of_month)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Nanoseconds since 1970 at which the wall shows this.
    pub(crate) fn at(year: i64, month: i64, day: i64, hour: i64) -> i64 {
        let days = day_of(year.into(), month.into()) + i128::from(day) - 1;
        i64::try_from(days * DAY + i128::from(hour) * HOUR).unwrap()
    }

    #[test]
    fn days_have_the_dates_that_calendars_give_them() {
        for (date, day) in [
            ((1970, 1, 1), 0),
            ((1969, 12, 31), -1),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((1900, 2, 28), -25_509),
            ((1900, 3, 1), -25_508),
            ((2026, 11, 23), 20_780),
        ] {
            assert_eq!(date_of(day), date);
            assert_eq!(day_of(date.0, date.1) + date.2 - 1, day);
        }
    }

    #[test]
    fn weeks_begin_on_monday() {
        let week = |year, month, day, hour| Period::Week.number(at(year, month, day, hour).into());
        // Monday, November 16 to Sunday, November 22, 2026.
        assert_eq!(week(2026, 11, 16, 0), week(2026, 11, 22, 23));
        assert_eq!(week(2026, 11, 16, 0), week(2026, 11, 15, 23) + 1);
        // The week of a new year: Thursday, December 31, 2026 and Friday, January 1, 2027 are in one.
        assert_eq!(week(2026, 12, 31, 12), week(2027, 1, 1, 12));
    }

    #[test]
    fn spans_are_read_and_written() {
        let span = |years, months, days, hours| Span { years, months, days, hours };
        for (text, expected) in [
            ("2y5m7d3h", span(2, 5, 7, 3)),
            ("7d", span(0, 0, 7, 0)),
            ("3h1y", span(1, 0, 0, 3)),
            ("2w", span(0, 0, 14, 0)),
            ("1d1w", span(0, 0, 8, 0)),
            ("0d", span(0, 0, 0, 0)),
        ] {
            assert_eq!(Span::parse(text), Ok(expected), "{text}");
            assert_eq!(Span::parse(&expected.to_string()), Ok(expected));
        }
        for wrong in ["", "7", "d", "7x", "-7d", "7d7d", "5 d", "99999999999d", "4294967295w", "7d3"] {
            assert!(Span::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_lies_before_is_found_on_the_calendar() {
        let before = |text: &str, moment: i64| Span::parse(text).unwrap().before(moment, &Utc);
        assert_eq!(before("1y2m3d4h", at(2026, 11, 23, 5)), at(2025, 9, 20, 1).into());
        assert_eq!(before("1m", at(2026, 3, 31, 5)), at(2026, 3, 3, 5).into());
        assert_eq!(before("1y", at(2024, 2, 29, 0)), at(2023, 3, 1, 0).into());
        assert_eq!(before("13m", at(2026, 1, 15, 0)), at(2024, 12, 15, 0).into());
        assert_eq!(before("9h", at(2026, 1, 1, 8)), at(2025, 12, 31, 23).into());
    }

    #[test]
    fn hours_are_counted_through_a_change_of_clocks_and_days_are_not() {
        /// Clocks go forward by an hour at 2026-03-29 01:00 UTC.
        struct Berlin;
        const CHANGE: i64 = 1_774_746_000_000_000_000;
        impl LocalTime for Berlin {
            fn wall(&self, moment: i64) -> i128 {
                i128::from(moment) + if moment < CHANGE { HOUR } else { 2 * HOUR }
            }
            fn moment(&self, wall: i128) -> i128 {
                if wall - HOUR < i128::from(CHANGE) { wall - HOUR } else { wall - 2 * HOUR }
            }
        }
        let noon_after = i64::try_from(Berlin.moment(at(2026, 3, 29, 12).into())).unwrap();
        let wall_before = |span: &str| {
            let moment = Span::parse(span).unwrap().before(noon_after, &Berlin);
            Berlin.wall(i64::try_from(moment).unwrap())
        };
        assert_eq!(wall_before("1d"), at(2026, 3, 28, 12).into());
        assert_eq!(wall_before("24h"), at(2026, 3, 28, 11).into());
    }

    proptest! {
        #[test]
        fn dates_and_days_are_one_and_the_same(day in -1_000_000_000_i128..1_000_000_000) {
            let (year, month, of_month) = date_of(day);
            prop_assert_eq!(day_of(year, month) + of_month - 1, day);
            prop_assert!((1..=12).contains(&month) && (1..=31).contains(&of_month));
            let (next_year, next_month, next) = date_of(day + 1);
            prop_assert!(next == of_month + 1 || (next == 1 && next_year * 12 + next_month == year * 12 + month + 1));
        }

        #[test]
        fn periods_hold_each_other(wall: i64, later in 0i64..40_000_000_000_000_000) {
            let (one, two) = (i128::from(wall), i128::from(wall) + i128::from(later));
            for period in Period::ALL {
                prop_assert!(period.number(one) <= period.number(two));
            }
            let same = |period: Period| period.number(one) == period.number(two);
            prop_assert!(!same(Period::Hour) || same(Period::Day));
            prop_assert!(!same(Period::Day) || same(Period::Week) && same(Period::Month));
            prop_assert!(!same(Period::Month) || same(Period::Year));
        }

        #[test]
        fn spans_are_read_back(years: u32, months: u32, days: u32, hours: u32) {
            let span = Span { years, months, days, hours };
            prop_assert_eq!(Span::parse(&span.to_string()), Ok(span));
        }
    }
}
