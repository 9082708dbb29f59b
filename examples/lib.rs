//! The examples beside this file, and the code blocks of the README and the book as doctests: `cargo test --doc -p fornax-examples`.

#[cfg(doctest)]
mod book {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../README.zh-CN.md")]
    mod readme_zh {}

    mod en {
        #[doc = include_str!("../docs/en/src/quick-start.md")]
        mod quick_start {}
        #[doc = include_str!("../docs/en/src/backends.md")]
        mod backends {}
        #[doc = include_str!("../docs/en/src/data.md")]
        mod data {}
        #[doc = include_str!("../docs/en/src/checkpoints.md")]
        mod checkpoints {}
        #[doc = include_str!("../docs/en/src/explanations.md")]
        mod explanations {}
        #[doc = include_str!("../docs/en/src/privacy.md")]
        mod privacy {}
        #[doc = include_str!("../docs/en/src/extending.md")]
        mod extending {}
        #[doc = include_str!("../docs/en/src/gradient-descent.md")]
        mod gradient_descent {}
        #[doc = include_str!("../docs/en/src/backpropagation.md")]
        mod backpropagation {}
        #[doc = include_str!("../docs/en/src/cnn.md")]
        mod cnn {}
        #[doc = include_str!("../docs/en/src/rnn.md")]
        mod rnn {}
        #[doc = include_str!("../docs/en/src/attention.md")]
        mod attention {}
    }

    mod zh {
        #[doc = include_str!("../docs/zh/src/quick-start.md")]
        mod quick_start {}
        #[doc = include_str!("../docs/zh/src/backends.md")]
        mod backends {}
        #[doc = include_str!("../docs/zh/src/data.md")]
        mod data {}
        #[doc = include_str!("../docs/zh/src/checkpoints.md")]
        mod checkpoints {}
        #[doc = include_str!("../docs/zh/src/explanations.md")]
        mod explanations {}
        #[doc = include_str!("../docs/zh/src/privacy.md")]
        mod privacy {}
        #[doc = include_str!("../docs/zh/src/extending.md")]
        mod extending {}
        #[doc = include_str!("../docs/zh/src/gradient-descent.md")]
        mod gradient_descent {}
        #[doc = include_str!("../docs/zh/src/backpropagation.md")]
        mod backpropagation {}
        #[doc = include_str!("../docs/zh/src/cnn.md")]
        mod cnn {}
        #[doc = include_str!("../docs/zh/src/rnn.md")]
        mod rnn {}
        #[doc = include_str!("../docs/zh/src/attention.md")]
        mod attention {}
    }
}
