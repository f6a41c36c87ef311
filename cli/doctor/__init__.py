"""`offhook doctor`: look at every box of the picture, say what is wrong and how to mend it."""
