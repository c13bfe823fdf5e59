"""Pictures: transforms, words in the picture, the main subject, promo overlays."""
