// SPDX-License-Identifier: Apache-2.0

/// The elements that all our pictures are made of.
package enum SVG {
    /// The beginning of a picture, on white.
    package static func open(width: Double, height: Double) -> String {
        """
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width.text(0)) \(height.text(0))" \
        font-family="system-ui, sans-serif" font-size="14">
        <rect width="100%" height="100%" fill="#ffffff"/>
        """
    }

    /// A line of text that begins (or ends, or has its middle; see `text-anchor`) at a point.
    package static func text(_ content: String, x: Double, y: Double, style: String = "") -> String {
        let escaped = content.replacing("&", with: "&amp;").replacing("<", with: "&lt;")
        return "<text x=\"\(x.text(0))\" y=\"\(y.text(0))\"\(style.isEmpty ? "" : " " + style)>\(escaped)</text>"
    }
}
