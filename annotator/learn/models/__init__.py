"""Model kinds: options, fitting, prediction and storage of each."""
