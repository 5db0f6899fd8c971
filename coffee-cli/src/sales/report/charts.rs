//! Charts, as SVG: a bar a line, with what it is about and its exact figure above it. Colours and fonts are the page's.

use maud::{Markup, PreEscaped, html};
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::answer::{Answer, Bar, Chart};

/// What can go wrong with a drawing.
pub type DrawError = DrawingAreaErrorKind<std::io::Error>;

/// A chart's width, in its own units: the page scales it.
const WIDTH: u32 = 720;

/// Height of a bar with its text.
const LINE: u32 = 70;

/// Height of the text: this makes it 26, by how the library counts.
const TEXT: f64 = 32.24;

/// From where to where a bar goes, and where its text ends, in lines from the chart's top.
const BAR: (f64, f64) = (0.48, 0.74);
const BASELINE: f64 = 0.44;

/// The figures at a chart's left and right edge. Zero is among them.
#[derive(Clone, Copy)]
struct Scale(f64, f64);

impl Scale {
    /// One for all charts of an answer, so that they can be compared.
    fn of(charts: &[Chart]) -> Self {
        let lengths = charts.iter().flat_map(|chart| &chart.bars).map(|bar| bar.figure.length());
        match lengths.fold(Scale(0.0, 0.0), |scale, length| Scale(scale.0.min(length), scale.1.max(length))) {
            Scale(left, right) if left < right => Scale(left, right),
            _ => Scale(0.0, 1.0),
        }
    }
}

/// All charts of an answer.
pub fn charts(answer: &Answer<'_>) -> Result<Markup, DrawError> {
    let scale = Scale::of(&answer.charts);
    let figures = answer.charts.iter().enumerate().map(|(number, chart)| figure(answer, number, chart, scale));
    let figures = figures.collect::<Result<Vec<_>, _>>()?;
    Ok(html! {
        @if answer.charts.len() > 1 { p.note { "All charts have the same scale." } }
        div.charts { @for figure in figures { (figure) } }
        @if answer.charts_cut { p.note { "Only the first " (answer.charts.len()) " are drawn." } }
    })
}

fn figure(answer: &Answer<'_>, number: usize, chart: &Chart, scale: Scale) -> Result<Markup, DrawError> {
    let unit = answer.view.columns.last().copied().unwrap_or_default();
    let title = if chart.part.is_empty() { unit.to_owned() } else { format!("{unit}, {}", chart.part) };
    let id = format!("{}-{number}", answer.view.name);
    let (title_id, text_id) = (format!("{id}-title"), format!("{id}-text"));
    let height = LINE * chart.bars.len() as u32;
    let shapes = PreEscaped(draw(&chart.bars, scale, height)?);
    Ok(html! {
        figure {
            figcaption {
                (title)
                @if chart.bars.len() as u64 != chart.all { small { " (the largest " (chart.bars.len()) " of " (chart.all) ")" } }
            }
            svg role="img" aria-labelledby=(format!("{title_id} {text_id}")) viewBox=(format!("0 0 {WIDTH} {height}")) {
                title id=(title_id) { (title) }
                desc id=(text_id) { (alternative(&chart.bars)) }
                (shapes)
            }
        }
    })
}

/// A chart in words.
fn alternative(bars: &[Bar]) -> String {
    let bars: Vec<String> = bars.iter().map(|bar| format!("{}: {}", bar.label, bar.figure)).collect();
    format!("Bars: {}.", bars.join("; "))
}

/// The shapes of a chart, without the tag around them, which the page has with a title.
fn draw(bars: &[Bar], Scale(left, right): Scale, height: u32) -> Result<String, DrawError> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let bottom = bars.len() as f64;
        let mut chart = ChartBuilder::on(&root).build_cartesian_2d(left..right, bottom..0.0)?;
        let text = |h_pos| ("sans-serif", TEXT).into_font().color(&BLACK).pos(Pos::new(h_pos, VPos::Bottom));
        for (bar, top) in bars.iter().zip((0_u32..).map(f64::from)) {
            let (above, below) = (top + BAR.0, top + BAR.1);
            let corners = [(0.0, above), (bar.figure.length(), below)];
            chart.draw_series([Rectangle::new(corners, BLUE.filled())])?;
            // From where it starts, for those that are too short to be seen.
            chart.draw_series([PathElement::new([(0.0, above), (0.0, below)], BLACK)])?;
            chart.draw_series([
                Text::new(bar.label.clone(), (left, top + BASELINE), text(HPos::Left)),
                Text::new(bar.figure.to_string(), (right, top + BASELINE), text(HPos::Right)),
            ])?;
        }
        root.present()?;
    }
    let inner = svg.split_once('>').and_then(|(_, rest)| rest.trim_end().strip_suffix("</svg>"));
    Ok(inner.unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sales::report::figure::Figure;

    fn bars(bars: &[(&str, &str)]) -> Vec<Bar> {
        let bar = |&(label, figure): &(&str, &str)| Bar { label: label.into(), figure: Figure::read(figure).unwrap() };
        bars.iter().map(bar).collect()
    }

    fn drawn(bars: Vec<Bar>) -> String {
        let height = LINE * bars.len() as u32;
        let chart = Chart { part: String::new(), all: bars.len() as u64, bars };
        draw(&chart.bars, Scale::of(std::slice::from_ref(&chart)), height).unwrap()
    }

    /// An attribute of each rectangle.
    fn of_bars(svg: &str, attribute: &str) -> Vec<i64> {
        let rectangles = svg.lines().filter(|line| line.starts_with("<rect "));
        let value = |line: &str| line.split(&format!(" {attribute}=\"")).nth(1)?.split('"').next()?.parse().ok();
        rectangles.map(|line| value(line).unwrap()).collect()
    }

    /// But for what is cut off to whole units.
    fn near(is: i64, should: u32) -> bool {
        (is - i64::from(should)).abs() <= 2
    }

    #[test]
    fn bars_are_as_long_as_their_figures() {
        let svg = drawn(bars(&[("a", "1000.0"), ("b", "250.0"), ("c", "0.0"), ("d", "999.9")]));
        let expected = [WIDTH, WIDTH / 4, 0, WIDTH];
        let lengths = of_bars(&svg, "width");
        assert_eq!(lengths.len(), expected.len());
        assert!(lengths.iter().zip(expected).all(|(is, should)| near(*is, should)), "{lengths:?}");
        for figure in ["1,000.0", "250.0", "0.0", "999.9"] {
            assert!(svg.lines().any(|line| line == figure), "{figure}: {svg}");
        }
    }

    #[test]
    fn what_is_below_zero_goes_to_the_left() {
        let svg = drawn(bars(&[("a", "-100"), ("b", "300")]));
        let (starts, lengths) = (of_bars(&svg, "x"), of_bars(&svg, "width"));
        let quarter = WIDTH / 4;
        assert!(near(starts[0], 0) && near(lengths[0], quarter), "{starts:?} {lengths:?}");
        assert!(near(starts[1], quarter) && near(lengths[1], 3 * quarter), "{starts:?} {lengths:?}");
    }

    #[test]
    fn bars_stand_below_each_other_and_below_their_text() {
        let svg = drawn(bars(&[("a", "1"), ("b", "2"), ("c", "3")]));
        let (tops, heights) = (of_bars(&svg, "y"), of_bars(&svg, "height"));
        assert!(tops.windows(2).all(|pair| near(pair[1] - pair[0], LINE)), "{tops:?}");
        assert!(heights.iter().all(|height| *height > 0), "{heights:?}");
        assert!(tops[2] + heights[2] <= i64::from(3 * LINE));
    }

    #[test]
    fn nothing_but_zeros_is_drawn_all_the_same() {
        assert_eq!(of_bars(&drawn(bars(&[("a", "0"), ("b", "0.0")])), "width"), [0, 0]);
        let huge = "9".repeat(300);
        assert_eq!(of_bars(&drawn(bars(&[("a", &huge), ("b", &format!("-{huge}"))])), "width").len(), 2);
    }

    #[test]
    fn labels_are_escaped() {
        let svg = drawn(bars(&[("<script>\"&'", "1")]));
        assert!(svg.contains("&lt;script&gt;&quot;&amp;&apos;") && !svg.contains("<script"), "{svg}");
    }
}
