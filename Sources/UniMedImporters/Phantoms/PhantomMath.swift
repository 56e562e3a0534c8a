import UniMedData

/// Trigonometry from additions and multiplications alone.
///
/// The mathematical library's functions differ in the last bit between systems; these do not, so that a phantom has the
/// same pixels on every machine.
enum PhantomMath {
    /// The sine of an angle in radians, to about nine decimal places.
    static func sine(_ angle: Double) -> Double {
        let turns = (angle / (2 * Double.pi)).rounded()
        var x = angle - turns * 2 * Double.pi
        if x > Double.pi / 2 { x = Double.pi - x }
        if x < -Double.pi / 2 { x = -Double.pi - x }
        let y = x * x
        // The Taylor series, whose next term is below 7e-10 here.
        let tail = 1 / 362_880.0 - y / 39_916_800
        return x * (1 - y * (1 / 6.0 - y * (1 / 120.0 - y * (1 / 5040.0 - y * tail))))
    }

    /// The cosine of an angle in radians.
    static func cosine(_ angle: Double) -> Double { sine(angle + Double.pi / 2) }
}

extension SeededGenerator {
    /// A number in a closed range.
    mutating func number(_ range: ClosedRange<Double>) -> Double {
        range.lowerBound + (range.upperBound - range.lowerBound) * uniform()
    }

    /// Whether something of a given probability happens.
    mutating func chance(_ probability: Double) -> Bool { uniform() < probability }

    /// One of several values, each equally probable.
    mutating func pick<Value>(_ values: [Value]) -> Value { values[integer(below: values.count)] }
}
