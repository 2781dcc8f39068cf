// Hands the answer on to Mechanical Turk as soon as the page is there.
document.getElementById("onward").submit();
