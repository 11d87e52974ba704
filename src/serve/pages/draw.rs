//! Figures as SVG. What a figure shows stands in a table beside it, so for readers of screens its name is enough.

use std::fmt::Write as _;

use super::super::text::escaped;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 160.0;
/// Room at the left for numbers, and below for times.
const LEFT: f64 = 70.0;
const BELOW: f64 = 22.0;
/// No figure shows more: the rest is in the table.
const MOST: usize = 400;

/// A value at a place, with its words.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) value: u64,
    /// What is shown below it.
    pub(super) label: String,
    /// The value in words.
    pub(super) words: String,
}

/// One bar for each value.
pub(super) fn bars(name: &str, points: &[Point]) -> String {
    drawn(name, points, |svg, points, most| {
        let step = (WIDTH - LEFT) / points.len() as f64;
        for (at, point) in points.iter().enumerate() {
            let height = (HEIGHT - BELOW) * share(point.value, most);
            let (x, y) = (LEFT + step * at as f64, HEIGHT - BELOW - height);
            let width = (step * 0.8).max(1.0);
            let _ = write!(
                svg,
                "<rect class=\"bar\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"><title>{}: {}</title></rect>",
                escaped(&point.label),
                escaped(&point.words)
            );
        }
    })
}

/// A line through all values.
pub(super) fn line(name: &str, points: &[Point]) -> String {
    drawn(name, points, |svg, points, most| {
        let step = (WIDTH - LEFT) / points.len().max(2).saturating_sub(1) as f64;
        let places = points.iter().enumerate().map(|(at, point)| {
            let y = (HEIGHT - BELOW) * (1.0 - share(point.value, most)) + 1.0;
            format!("{:.1},{y:.1}", LEFT + step * at as f64)
        });
        let places: Vec<String> = places.collect();
        let _ = match places.as_slice() {
            // A line needs two ends.
            [one] => {
                let (x, y) = one.split_once(',').unwrap_or_default();
                write!(svg, "<circle class=\"bar\" cx=\"{x}\" cy=\"{y}\" r=\"3\"/>")
            }
            places => write!(svg, "<polyline class=\"line\" points=\"{}\"/>", places.join(" ")),
        };
    })
}

fn share(value: u64, most: u64) -> f64 {
    if most == 0 { 0.0 } else { value as f64 / most as f64 }
}

fn drawn(name: &str, points: &[Point], draw: impl FnOnce(&mut String, &[Point], u64)) -> String {
    let points = &points[points.len().saturating_sub(MOST)..];
    let Some(highest) = points.iter().max_by_key(|point| point.value) else { return String::new() };
    let mut svg = format!("<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\">", escaped(name));
    let base = HEIGHT - BELOW;
    let _ = write!(svg, "<line class=\"axis\" x1=\"{LEFT}\" y1=\"{base}\" x2=\"{WIDTH}\" y2=\"{base}\"/>");
    let _ = write!(svg, "<text x=\"0\" y=\"12\">{}</text><text x=\"0\" y=\"{base}\">0</text>", escaped(&highest.words));
    draw(&mut svg, points, highest.value);
    if let (Some(first), Some(last)) = (points.first(), points.last()) {
        let _ = write!(svg, "<text x=\"{LEFT}\" y=\"{}\">{}</text>", HEIGHT - 6.0, escaped(&first.label));
        if points.len() > 1 {
            let _ = write!(
                svg,
                "<text x=\"{WIDTH}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                HEIGHT - 6.0,
                escaped(&last.label)
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// A stretch of a lane.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    /// Which lane it lies in.
    pub(super) lane: usize,
    /// From which snapshot on, and before which, by number.
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) words: String,
}

/// Lanes with stretches: which schema there was in which snapshots.
pub(super) fn lanes(name: &str, names: &[String], stretches: &[Stretch], snapshots: usize) -> String {
    let height = names.len() as f64 * 24.0 + 4.0;
    let step = (WIDTH - 150.0) / snapshots.max(1) as f64;
    let mut svg = format!("<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {WIDTH} {height}\">", escaped(name));
    for (lane, name) in names.iter().enumerate() {
        let _ = write!(svg, "<text x=\"0\" y=\"{}\">{}</text>", lane as f64 * 24.0 + 17.0, escaped(name));
    }
    for Stretch { lane, from, to, words } in stretches {
        let (x, width) = (150.0 + step * *from as f64, (step * to.saturating_sub(*from) as f64 - 1.0).max(1.0));
        let _ = write!(
            svg,
            "<rect class=\"bar\" x=\"{x:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"16\"><title>{}</title></rect>",
            *lane as f64 * 24.0 + 4.0,
            escaped(words)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_nothing_one_and_many_are_sound() {
        let point = |value| Point { value, label: "<a>".into(), words: "&".into() };
        assert_eq!(bars("x", &[]), "");
        for values in [vec![0], vec![5], vec![0, 0], (0..1000).collect()] {
            let points: Vec<Point> = values.into_iter().map(point).collect();
            for svg in [bars("a \"b\"", &points), line("x", &points)] {
                assert!(
                    svg.starts_with("<svg")
                        && svg.ends_with("</svg>\n")
                        && !svg.contains("NaN")
                        && !svg.contains("<a>")
                );
            }
        }
        let stretch = Stretch { lane: 0, from: 0, to: 3, words: "<".into() };
        assert!(lanes("x", &["s".into()], &[stretch], 3).contains("&lt;"));
    }
}
