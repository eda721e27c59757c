"""The language side: audio features, encoder, decoder, sampling."""
