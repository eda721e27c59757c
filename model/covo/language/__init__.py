"""The language side: audio features, encoder, adapter, decoder, sampling."""
