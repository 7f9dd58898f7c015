//! Sound made louder or quieter by one factor, and never louder than it may be.

use super::decoded::Planes;

/// How much of its loudness what was loud keeps from sample to sample: it halves in 150 ms at 48 kHz. Slower dims for
/// longer, faster is heard as distortion.
const RELEASE: f32 = 0.999_904;

/// See the module.
#[derive(Debug)]
pub struct Limiter {
    gain: f32,
    most: f32,
    /// How loud it was of late.
    level: f32,
}

impl Limiter {
    /// Times `gain`, and no sample above `most`.
    pub fn new(gain: f32, most: f32) -> Limiter {
        Limiter { gain, most, level: 0.0 }
    }

    /// Changes a block. All channels alike, or voices would move.
    pub fn run(&mut self, planes: &mut Planes) {
        for index in 0..planes.first().map_or(0, Vec::len) {
            let samples = planes.iter().filter_map(|plane| plane.get(index));
            let peak = samples.fold(0.0_f32, |peak, one| peak.max(one.abs()));
            // Decoders of hostile streams may give what is no number.
            let peak = peak * self.gain;
            let gain = if peak.is_finite() {
                self.level = (self.level * RELEASE).max(peak);
                if self.level > self.most { self.gain * self.most / self.level } else { self.gain }
            } else {
                0.0
            };
            for sample in planes.iter_mut().filter_map(|plane| plane.get_mut(index)) {
                *sample = if sample.is_finite() { *sample * gain } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_sound_is_multiplied_and_loud_sound_stays_below_the_most() {
        let mut limiter = Limiter::new(2.0, 0.8);
        let mut planes = vec![vec![0.1, 0.2, -0.5, 0.1], vec![-0.1, 0.0, 0.9, f32::NAN]];
        limiter.run(&mut planes);
        assert_eq!((planes[0][0], planes[1][0], planes[0][1]), (0.2, -0.2, 0.4));
        assert!((planes[1][2] - 0.8).abs() < 1e-6 && (planes[0][2] + 0.8 * 0.5 / 0.9).abs() < 1e-6, "{planes:?}");
        assert!(planes[0][3] < 0.1 && planes[1][3] == 0.0, "turned down a while longer: {planes:?}");
        let mut later = vec![vec![0.1; 480_000], vec![0.0; 480_000]];
        limiter.run(&mut later);
        assert_eq!(later[0].last(), Some(&0.2));
    }
}
